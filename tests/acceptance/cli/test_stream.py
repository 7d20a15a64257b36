"""Jobs that yield: what is printed as it arrives, what is saved, and what no interruption loses."""

from __future__ import annotations

import base64
import io
import json
import sys
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.testing import LocalRunPodServer
from runpodctl_py.testing.endpoint import served
from tests.acceptance.cli.person import CTRL_C, Person

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runpodctl_py.testing.endpoint import LocalEndpoint

WORDS = ["The ", "quick ", "brown fox\n"]
SOUND = [bytes([n, 0]) * 2400 for n in range(3)]
CHUNKS = [
    {
        "audio_chunk": base64.b64encode(each).decode(),
        "format": "pcm_16",
        "sample_rate": 24000,
        "chunk": number,
    }
    for number, each in enumerate(SOUND)
]


@pytest.fixture(scope="module")
def yielding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEndpoint]:
    """An endpoint whose workers yield what the input says."""
    folder = tmp_path_factory.mktemp("yielding")
    worker = Path(__file__).with_name("streaming_worker.py")
    options = {"env": {}, "args": [], "python": sys.executable, "workers_max": 2}
    with (
        LocalRunPodServer(folder) as server,
        served(server, worker, **options) as endpoint,
    ):
        yield endpoint


@pytest.fixture
def listener(yielding: LocalEndpoint) -> Person:
    """Somebody with an empty folder and a key of that RunPod."""
    return Person(Path.cwd(), yielding.server.environment())


@pytest.fixture
def where(yielding: LocalEndpoint) -> tuple[str, str]:
    """The option that names the endpoint."""
    return ("--endpoint", yielding.url.rpartition("/")[2])


def asking(pieces: object, **more: object) -> tuple[str, ...]:
    """Return the options of a job that yields these."""
    fields = {"pieces": pieces, **more}
    return tuple(
        word for name, each in fields.items() for word in ("--set", f"{name}:={json.dumps(each)}")
    )


def sound_in(path: Path) -> bytes:
    """Return a WAV file's samples."""
    with wave.open(io.BytesIO(path.read_bytes())) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24000, 1, 2)
        return file.readframes(file.getnframes())


def test_text_is_printed_once_and_as_text(listener: Person, where: tuple[str, str]) -> None:
    """All of it on stdout, nothing of it again at the end."""
    said = listener.run("submit", *where, *asking(WORDS), "--stream")
    assert (said.code, said.stdout) == (0, "The quick brown fox\n"), said.stderr
    queued, running, done = (line.split()[0] for line in said.stderr.splitlines())
    assert (queued, running, done) == ("queued", "running", "done")


def test_other_values_are_lines_of_json(listener: Person, where: tuple[str, str]) -> None:
    """A line is ended before the next value begins."""
    said = listener.run("submit", *where, *asking(["half", {"a": 1}, [2], "way"]), "--stream")
    assert (said.code, said.stdout) == (0, 'half\n{"a": 1}\n[2]\nway\n'), said.stderr


def test_sound_becomes_one_file(listener: Person, where: tuple[str, str]) -> None:
    """Its chunks joined, in their order; they are not printed."""
    said = listener.run("submit", *where, *asking(CHUNKS), "--stream")
    assert (said.code, said.stdout) == (0, "outputs/audio.wav\n"), said.stderr
    assert sound_in(Path("outputs/audio.wav")) == b"".join(SOUND)


def test_json_has_each_piece_as_it_came(listener: Person, where: tuple[str, str]) -> None:
    """The last line is final, and has the files."""
    said = listener.run("submit", *where, *asking(CHUNKS), "--stream", "--json")
    assert said.code == 0, said.stderr
    events = said.events
    assert [each["event"] for each in events] == ["queued", "started", *["piece"] * 3, "finished"]
    assert [each["output"] for each in events[2:5]] == CHUNKS
    assert events[-1]["files"][0]["bytes"] == len(b"".join(SOUND)) + 44


def test_a_worker_that_fails_has_said_what_it_said(
    listener: Person, where: tuple[str, str]
) -> None:
    """The exit code is the job's."""
    said = listener.run("submit", *where, *asking(["half "], fails="no more"), "--stream")
    assert (said.code, said.stdout) == (10, "half \n")
    assert "ValueError: " in said.stderr
    assert "no more" in said.stderr


def test_pieces_arrive_while_the_job_runs(
    listener: Person, where: tuple[str, str], tmp_path: Path
) -> None:
    """Each is read before the next one is made; the last ones come without us."""
    command = ("submit", *where, *asking(WORDS, folder=str(tmp_path)), "--stream")
    with listener.at_terminal(*command) as terminal:
        (tmp_path / "0").touch()
        terminal.until_text("The")
        (tmp_path / "1").touch()
        terminal.until_text("The quick")
        (tmp_path / "2").touch()
        terminal.until_text("The quick brown fox")
        assert terminal.until_end() == 0


def test_nothing_is_lost_when_listening_is_interrupted(
    listener: Person, where: tuple[str, str], tmp_path: Path
) -> None:
    """RunPod hands out each piece once: what was heard is in the ledger until it is saved."""
    command = ("submit", *where, *asking(CHUNKS, folder=str(tmp_path)), "--stream")
    with listener.at_terminal(*command) as terminal:
        (tmp_path / "0").touch()
        terminal.until_text("1 piece")
        terminal.type(CTRL_C)
        assert terminal.until_end() == 130
    for number in (1, 2):
        (tmp_path / str(number)).touch()
    (job,) = listener.run("jobs", "list", "--json").document
    watched = listener.run("watch", job["id"])
    assert (watched.code, watched.stdout) == (0, f"{Path.cwd()}/outputs/audio.wav\n")
    assert sound_in(Path("outputs/audio.wav")) == b"".join(SOUND)


def test_a_job_that_was_sent_before_is_listened_to(
    listener: Person, where: tuple[str, str]
) -> None:
    """By its id, from wherever it is; without listening, its pieces are not lost either."""
    heard, unheard = (
        listener.run("submit", *where, *asking(WORDS), "--detach").stdout.strip() for _ in "ab"
    )
    said = listener.run("stream", heard)
    assert (said.code, said.stdout) == (0, "The quick brown fox\n"), said.stderr
    watched = listener.run("watch", unheard)
    assert (watched.code, watched.stdout) == (0, "The quick brown fox\n"), watched.stderr
    shown = listener.run("jobs", "show", unheard, "--json").document
    assert shown["output"] == WORDS


def sent(listener: Person, where: tuple[str, str], *options: str) -> str:
    """Send a job that is left alone, wait until it has ended, and return its id."""
    job_id = listener.run("submit", *where, *options, "--detach").stdout.strip()
    while listener.run("status", job_id, "--json").document["status"] in {
        "IN_QUEUE",
        "IN_PROGRESS",
    }:
        pass
    return job_id


@pytest.mark.parametrize("way", [("watch",), ("jobs", "sync")])
def test_what_could_not_be_saved_is_there_for_the_next_try(
    listener: Person, where: tuple[str, str], way: tuple[str, ...]
) -> None:
    """Though RunPod has handed it out already."""
    job_id = sent(listener, where, *asking(CHUNKS))
    job = () if way == ("jobs", "sync") else (job_id,)
    Path("file").write_text("in the way")
    failed = listener.run(*way, *job, "-o", "file/out")
    assert failed.code == 14, failed.stderr
    again = listener.run(*way, *job, "-o", "out")
    assert (again.code, again.stdout) == (0, "out/audio.wav\n"), again.stderr
    assert sound_in(Path("out/audio.wav")) == b"".join(SOUND)


def test_a_look_that_saves_nothing_takes_nothing(listener: Person, where: tuple[str, str]) -> None:
    """What was printed can be saved later."""
    job_id = sent(listener, where, *asking(CHUNKS))
    looked = listener.run("stream", job_id, "--no-save")
    assert looked.code == 0, looked.stderr
    saved = listener.run("watch", job_id, "-o", "out")
    assert (saved.code, saved.stdout) == (0, "out/audio.wav\n"), saved.stderr


def test_what_a_job_yielded_before_it_failed_is_saved(
    listener: Person, where: tuple[str, str]
) -> None:
    """Also by those who did not listen."""
    said = listener.run("submit", *where, *asking(CHUNKS, fails="no more"))
    assert (said.code, said.stdout) == (10, "outputs/audio.wav\n"), said.stderr
    assert sound_in(Path("outputs/audio.wav")) == b"".join(SOUND)


def test_a_batch_has_what_its_jobs_yield(listener: Person, where: tuple[str, str]) -> None:
    """A worker that does not collect leaves an empty output."""
    Path("rows.jsonl").write_text(json.dumps({"pieces": CHUNKS}) + "\n")
    said = listener.run("batch", "run", "rows.jsonl", *where, "-o", "out")
    assert said.code == 0, said.stderr
    assert sound_in(Path("out/1.wav")) == b"".join(SOUND)


def test_a_job_that_is_cancelled_ends_the_listening(
    listener: Person, where: tuple[str, str], tmp_path: Path
) -> None:
    """With the exit code of that; what was heard is printed."""
    command = ("submit", *where, *asking(WORDS, folder=str(tmp_path)), "--stream")
    with listener.at_terminal(*command) as terminal:
        (tmp_path / "0").touch()
        terminal.until_text("The")
        (job,) = listener.run("jobs", "list", "--json").document
        assert listener.run("cancel", job["id"]).code == 0
        assert terminal.until_end() == 11


def test_the_manifest_of_a_job_that_is_watched_says_what_was_asked(
    listener: Person, where: tuple[str, str]
) -> None:
    """The ledger knows it, whoever sent it."""
    job_id = sent(listener, where, *asking(WORDS))
    assert listener.run("watch", job_id).code == 0
    manifest = json.loads(Path("outputs", f"{job_id}.job.json").read_text())
    assert manifest["input"] == {"pieces": WORDS}
    assert manifest["submitted_at"] is not None


def test_a_gap_in_what_was_printed_is_told(listener: Person, yielding: LocalEndpoint) -> None:
    """An answer that is lost takes its pieces along: of others, all is printed once more."""
    endpoint_id = yielding.url.rpartition("/")[2]
    with yielding.server.faults("stream:drop-after*1"):
        said = listener.run("submit", "-e", endpoint_id, *asking(WORDS), "--stream")
    assert said.code == 0, said.stderr
    assert "! Some of it may not have been printed. All that there is:" in said.stderr


def test_what_stdout_leads_to_gets_the_text(listener: Person, where: tuple[str, str]) -> None:
    """While a line is drawn on the terminal."""
    under = ("sh", "-c", 'exec "$@" > story.txt', "sh")
    command = ("submit", *where, *asking(WORDS), "--stream")
    with listener.at_terminal(*command, under=under) as terminal:
        assert terminal.until_end() == 0
    assert Path("story.txt").read_text() == "The quick brown fox\n"


@pytest.mark.parametrize("other", ["--sync", "--detach"])
def test_listening_needs_a_job_that_is_followed(listener: Person, other: str) -> None:
    """The two contradict each other."""
    said = listener.run("submit", "--set", "a=1", "--stream", other)
    assert said.code == 2
    assert f"{other} and --stream exclude each other" in said.stderr
