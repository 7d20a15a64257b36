"""The file itself: what it is made of, who may use it at once, and what can be wrong with it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from importlib import resources
from pathlib import Path

import pytest

from runpodctl_py.api.types import Policy
from runpodctl_py.errors import LedgerError
from runpodctl_py.jobs.ledger import Filter, Home, KeptFile, Ledger, Sighting, State
from runpodctl_py.jobs.ledger.database import Database
from tests.unit.jobs.ledger.samples import INTENT, RUNPOD, intent, job

IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
ELSEWHERE = "Use another one meanwhile:  RUNPODCTL_LEDGER=other.sqlite3"
TRIES = """
import os, sys
from pathlib import Path
from runpodctl_py.errors import LedgerError
from runpodctl_py.jobs.ledger import Home, Intent, Ledger, Place

ledger = Ledger(Path(sys.argv[1]))
words = Intent(place=Place("r"), endpoint_id="e", payload={"text": "word " * 4_000})
kept = []
try:
    for number in range(int(sys.argv[2])):
        kept.append(ledger.intend(words))
except LedgerError as exc:
    print(exc.message)
ledger.close()
"""
WRITES = """
import sys
from pathlib import Path
from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.jobs.ledger import Home, Intent, Ledger, Place

with Ledger(Path(sys.argv[1])) as ledger:
    for number in range(int(sys.argv[3])):
        name = f"{sys.argv[2]}-{number}"
        key = ledger.intend(Intent(place=Place("r"), endpoint_id="e", payload={"n": number}))
        ledger.sent(key, Job(name, JobStatus.IN_QUEUE))
        ledger.seen(key, Job(name, JobStatus.COMPLETED))
        ledger.home(key, Home((), {"n": number}))
        print(number, flush=True)
"""


def schema() -> list[str]:
    """Return the numbered steps that make the tables, the oldest first."""
    folder = resources.files("runpodctl_py.jobs.ledger") / "schema"
    return sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))


def said(path: Path) -> LedgerError:
    """Return what a ledger says that cannot be used."""
    with Ledger(path) as ledger, pytest.raises(LedgerError) as caught:
        ledger.intend(INTENT)
    return caught.value


# What it is made of.


def test_the_file_outlives_a_power_cut(tmp_path: Path) -> None:
    """Every commit is on the disk before money is spent, and readers wait for nobody."""
    database = Database(tmp_path / "ledger.sqlite3")
    pragmas = {
        name: database.rows(f"PRAGMA {name}")[0][0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "user_version")
    }
    database.close()
    full = 2
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "user_version": len(schema()),
    }


def test_all_of_it_or_nothing(tmp_path: Path) -> None:
    """Whatever ends a transaction."""
    database = Database(tmp_path / "ledger.sqlite3")
    names = "at, root, is_local, action, endpoint_id"
    row = f"INSERT INTO deployment ({names}) VALUES (0, 'r', 0, 'create', ?)"  # noqa: S608 - our names.

    def write() -> None:
        with database.together() as sql:
            sql.execute(row, ("e",))
            sql.execute(row, (None,))

    with pytest.raises(LedgerError, match="NOT NULL constraint failed"):
        write()
    assert database.rows("SELECT * FROM deployment") == []
    database.close()


def test_steps_are_numbered_without_a_gap() -> None:
    """The file says how many it has been through; so the next one is known."""
    assert schema() == [f"{number:04}.sql" for number in range(1, len(schema()) + 1)]


def test_a_ledger_of_the_first_version_is_read(tmp_path: Path) -> None:
    """A file as the oldest schema made it, with rows in every table, is brought to today's form."""
    path = tmp_path / "ledger.sqlite3"
    oldest = resources.files("runpodctl_py.jobs.ledger") / "schema" / "0001.sql"
    made = sqlite3.connect(path)
    made.executescript(oldest.read_text("utf-8"))
    made.executescript(
        """
        INSERT INTO job VALUES (1, 'aaaaaaaaaaaa', 'https://api.runpod.ai/v2', 0, 'e1', 'j1-u1',
            'test', 'completed', NULL, '{"execution_timeout_ms": 5000, "ttl_ms": null,
            "low_priority": true}', 'https://e.org', 1, '/outputs', 'bbbbbbbbbbbb', 'b1', '7', 1,
            100.0, 101.0, 102.0, 103.0, 1000, 2000, 0.5, 'w1', 'words');
        INSERT INTO payload VALUES (1, CAST('{"n": 1}' AS BLOB), 'sha', 8);
        INSERT INTO output VALUES (1, '{"image": 2}', '"broken"');
        INSERT INTO sighting VALUES (1, 'sending', 100.0), (1, 'completed', 102.0);
        INSERT INTO file VALUES (1, '/outputs/a.png', 4, 'sha', 'image/png');
        INSERT INTO deployment VALUES (1, 50.0, 'https://api.runpod.ai/v2', 0, 'create', 'e1', 't1',
            'test', 'runpod-test', 'image', 'AMPERE_16', 1, 0.00016);
        PRAGMA user_version = 1;
        """
    )
    empty = [
        name
        for (name,) in made.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if not made.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608 - our names.
    ]
    made.close()
    assert empty == []
    with Ledger(path) as ledger:
        record = ledger.find("j1-u1")
        assert (record.state, record.intent.policy) == (
            State.COMPLETED,
            Policy(5000, None, low_priority=True),
        )
        assert (record.intent.output_dir, record.intent.row) == (Path("/outputs"), "7")
        assert (record.created_at, record.saved_at, record.cost_usd) == (100.0, 103.0, 0.5)
        assert (ledger.payload(record.key), ledger.output(record.key)) == ({"n": 1}, {"image": 2})
        assert ledger.worker_error(record.key) == "broken"
        assert ledger.sightings(record.key)[-1] == Sighting(State.COMPLETED, 102.0)
        assert ledger.files(record.key) == (
            KeptFile(Path("/outputs/a.png"), 4, "sha", "image/png"),
        )
        deployment = ledger.deployment(RUNPOD, "e1", 60.0)
        assert deployment is not None
        assert (deployment.template_id, deployment.price_per_s_usd) == ("t1", 0.00016)
        assert (record.intent.line, ledger.batches.all()) == (None, [])
        assert ledger.batches.attempts("b1", ["7"]) == {"7": record}
        ledger.begun_anew(record.key)
        ledger.sent(ledger.intend(INTENT), job())
        ledger.intend(intent(batch_id="b1", row="7", line=7, parent=record.key))
        assert [each.intent.line for each in ledger.batches.rows("b1")] == [7]
        assert len(ledger.jobs()) == 3
    today = Database(path)
    assert today.rows("PRAGMA user_version")[0][0] == len(schema())
    today.close()


# Several at once.


def test_another_process_reads_while_one_writes(tmp_path: Path) -> None:
    """Each look sees whole jobs only: what is saved has its output."""
    path, total = tmp_path / "ledger.sqlite3", 60
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(path), "e", str(total)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    counts = []
    with Ledger(path) as ledger:
        for line in writer.stdout:
            known = ledger.jobs(Filter(states=(State.COMPLETED,)))
            saved = [each for each in known if each.saved_at is not None]
            assert len(saved) > int(line)
            assert ledger.output(saved[0].key) is not None
            counts.append(len(saved))
        writer.stdout.close()
        assert writer.wait(60) == 0
        assert (counts, len(counts), len(ledger.jobs())) == (sorted(counts), total, total)


def test_processes_write_at_once(tmp_path: Path) -> None:
    """The file may not even be there yet; each waits for its turn, and nothing is lost."""
    path, names, each_writes = tmp_path / "new" / "ledger.sqlite3", ("a", "b", "c"), 20
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITES, str(path), name, str(each_writes)],
            stdout=subprocess.DEVNULL,
        )
        for name in names
    ]
    assert [each.wait(60) for each in writers] == [0, 0, 0]
    with Ledger(path) as ledger:
        written = sorted(record.job_id or "" for record in ledger.jobs())
    assert written == sorted(f"{name}-{n}" for name in names for n in range(each_writes))


def test_a_writer_waits_for_another(tmp_path: Path) -> None:
    """As long as that one needs."""
    path = tmp_path / "ledger.sqlite3"
    with Ledger(path) as ledger:
        ledger.intend(INTENT)
        database = Database(path)
        done = threading.Event()

        def write() -> None:
            with Ledger(path) as other:
                other.intend(INTENT)
            done.set()

        with database.together():
            thread = threading.Thread(target=write)
            thread.start()
            assert not done.wait(0.2)
        database.close()
        assert done.wait(30)
        thread.join()
        assert len(ledger.jobs()) == 2


# What can be wrong with it.


def test_a_file_of_a_newer_version(tmp_path: Path) -> None:
    """It is left alone: who knows what its rows mean."""
    path = tmp_path / "ledger.sqlite3"
    with Ledger(path) as ledger:
        ledger.intend(INTENT)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {len(schema()) + 1}")
    newer.close()
    error = said(path)
    assert error.message == f"The ledger {path} was written by a newer version of runpodctl-py"
    assert error.hint == f"Update this one:  pip install --upgrade runpodctl-py\n{ELSEWHERE}"
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM job").fetchone() == (1,)
    database.close()


@pytest.mark.parametrize(
    "content",
    [b"Dear diary, today nothing happened.\n" * 40, b"SQLite format 3\0" + bytes(4080)],
    ids=["text", "empty header"],
)
def test_a_file_that_is_no_ledger(tmp_path: Path, content: bytes) -> None:
    """It is named, told apart from trouble with the disk, and never overwritten."""
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(content)
    error = said(path)
    assert error.message.startswith(f"The ledger {path} is damaged: ")
    assert error.hint == (
        f"Move it away, and a new one is made:  mv {path}*  ELSEWHERE\n{ELSEWHERE}"
    )
    assert path.read_bytes() == content


def test_a_shell_understands_how_a_damaged_ledger_is_moved(tmp_path: Path) -> None:
    """Wherever it is: the file, and what stands beside it."""
    folder = tmp_path / "it's my folder; $HOME"
    folder.mkdir()
    path = folder / "led ger"
    path.write_bytes(b"Dear diary, today nothing happened.\n" * 40)
    Path(f"{path}-wal").touch()
    hint = said(path).hint or ""
    command = hint.splitlines()[0].partition(":  ")[2]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moving = command.replace("ELSEWHERE", str(elsewhere))
    subprocess.run(["/bin/sh", "-c", moving], check=True, timeout=60)
    assert not path.exists()
    assert (elsewhere / "led ger").read_bytes().startswith(b"Dear diary")
    with Ledger(path) as ledger:
        assert ledger.record(ledger.intend(INTENT)).state is State.SENDING


def test_a_ledger_that_is_deleted_meanwhile(tmp_path: Path) -> None:
    """What is written then is nowhere: it is said, rather than that a job is sent."""
    path = tmp_path / "ledger.sqlite3"
    with Ledger(path) as ledger:
        key = ledger.intend(INTENT)
        for each in tmp_path.glob("ledger.sqlite3*"):
            if each.is_file():
                each.unlink()
        for write in (lambda: ledger.intend(INTENT), lambda: ledger.sent(key, job())):
            with pytest.raises(LedgerError, match="was deleted while it was in use"):
                write()
    assert not path.exists()
    with Ledger(path) as ledger:
        assert ledger.jobs() == []


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    """As `mktemp` makes one."""
    path = tmp_path / "ledger.sqlite3"
    path.touch()
    with Ledger(path) as ledger:
        assert ledger.record(ledger.intend(INTENT)).state is State.SENDING


def test_a_ledger_with_a_hole_in_it(tmp_path: Path) -> None:
    """Damage in the middle is told when it is met."""
    path = tmp_path / "ledger.sqlite3"
    with Ledger(path) as ledger:
        for number in range(300):
            ledger.intend(intent(payload={"text": f"{number}" * 200}))
    content = bytearray(path.read_bytes())
    content[8192:-4096] = os.urandom(len(content) - 4096 - 8192)
    path.write_bytes(content)
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="is damaged"):
        [ledger.payload(each.key) for each in ledger.jobs()]


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    """The system's own words."""
    error = said(tmp_path)
    assert (error.message, error.hint) == (
        f"The ledger {tmp_path} cannot be used: Is a directory",
        ELSEWHERE,
    )


def test_a_file_in_its_folders_place(tmp_path: Path) -> None:
    """The system's own words, and where else it could be."""
    (tmp_path / "data").write_text("not a folder")
    error = said(tmp_path / "data" / "ledger.sqlite3")
    assert error.message.endswith("ledger.sqlite3 cannot be used: File exists")
    assert error.hint == ELSEWHERE


def in_namespace(script: str, *arguments: str) -> str:
    """Run a shell script where it may mount, and return what it printed."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    probe = subprocess.run(
        [*IN_NAMESPACE, 'mount -t tmpfs tmpfs "$1"', "sh", arguments[0]],
        capture_output=True,
        check=False,
        timeout=60,
    )
    if probe.returncode:
        pytest.skip("mounting in a namespace of our own is not permitted here")
    done = subprocess.run(
        [*IN_NAMESPACE, script, "sh", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("mounting", "words"),
    [
        ('mount -t tmpfs -o size=400k tmpfs "$1"', "the disk is full"),
        ('mount -t tmpfs -o ro tmpfs "$1"', "Read-only file system"),
        ('mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"', "Read-only file system"),
    ],
    ids=["full", "read-only folder", "read-only ledger"],
)
def test_a_disk_that_refuses(tmp_path: Path, mounting: str, words: str) -> None:
    """A real one: nothing more is written down, and it is said why."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with Ledger(folder / "ledger.sqlite3") as ledger:
        ledger.intend(INTENT)
    printed = in_namespace(
        f'{mounting} && exec "$2" -c "$3" "$4" 100',
        *(str(folder), sys.executable, TRIES, str(folder / "ledger.sqlite3")),
    )
    assert printed == f"The ledger {folder / 'ledger.sqlite3'} cannot be used: {words}"


def test_a_disk_that_was_full_has_all_that_was_taken(tmp_path: Path) -> None:
    """What was promised is there; what was refused left nothing behind."""
    count = "import json, sys; print(len(kept), len(Ledger(Path(sys.argv[1])).jobs()))"
    printed = in_namespace(
        'mount -t tmpfs -o size=400k tmpfs "$1" && exec "$2" -c "$3" "$1/ledger.sqlite3" 100',
        *(str(tmp_path), sys.executable, f"{TRIES}\n{count}"),
    )
    message, counts = printed.splitlines()
    promised, there = map(int, counts.split())
    assert (message.endswith("the disk is full"), promised, promised > 3) == (True, there, True)


def test_a_disk_that_is_full_at_the_end_keeps_what_it_had(tmp_path: Path) -> None:
    """A result that cannot be written down leaves its job as it was: still to be fetched."""
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        key = ledger.intend(INTENT)
        ledger.sent(key, job(status="COMPLETED"))
        ledger._database.rows("PRAGMA max_page_count = 1")
        with pytest.raises(LedgerError, match="the disk is full"):
            ledger.home(key, Home((), "word " * 100_000))
        assert (ledger.record(key).waits, ledger.output(key)) == (True, None)


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    """Not even the tables fit: it is said, and what was begun is taken back."""
    printed = in_namespace(
        'mount -t tmpfs -o size=64k tmpfs "$1" && exec "$2" -c "$3" "$1/ledger.sqlite3" 1',
        *(str(tmp_path), sys.executable, TRIES),
    )
    assert printed == f"The ledger {tmp_path / 'ledger.sqlite3'} cannot be used: the disk is full"


def test_two_connections_of_a_process_and_another_process(tmp_path: Path) -> None:
    """Opening it a second time takes no lock from the first: the file stays whole for everybody."""
    path = tmp_path / "ledger.sqlite3"
    look = "import sys; from pathlib import Path; from runpodctl_py.jobs.ledger import Ledger;"
    look += "ledger = Ledger(Path(sys.argv[1])); print(len(ledger.jobs())); ledger.close()"
    counts = []
    with Ledger(path) as first, Ledger(path) as second:
        for ledger in (first, second, first):
            ledger.intend(INTENT)
            command = [sys.executable, "-c", look, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            counts.append(int(done.stdout))
        assert path.with_name(f"{path.name}-wal").exists()
    with Ledger(path) as again:
        counts.append(len(again.jobs()))
    assert counts == [1, 2, 3, 3]
