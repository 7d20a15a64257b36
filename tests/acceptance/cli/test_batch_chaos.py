"""A batch whose every part fails now and then, and whose process is killed again and again."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.jobs.ledger import Filter, Ledger, Record, State
from runpodctl_py.testing import LocalRunPodServer, Simulation
from tests.acceptance.cli.ledger_scene import endpoint
from tests.acceptance.cli.person import PATIENCE_S, Person

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROWS = 1000
KILLS = 5
# One request in ten, and one job in ten: without an effect, with one, and nobody can tell.
FAULTS = (
    *(f"run:{what}@0.01" for what in ("500", "503", "drop", "garbage", "delay:1s")),
    *(f"run:{what}@0.01" for what in ("500-after", "drop-after", "garbage-after", "truncate")),
    "run:429:1s*3",
    *(f"status-sync:{what}@0.02" for what in ("500", "503", "drop", "garbage", "truncate")),
    "status-sync:429:1s*3",
    *(f"status:{what}@0.05" for what in ("500", "drop")),
    *(f"requests:{what}@0.05" for what in ("500", "drop")),
    *(f"health:{what}@0.05" for what in ("500", "drop")),
    "worker:crash@0.1",
)
BATCH_FAILED = 13


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[LocalRunPodServer]:
    """A RunPod at which one request in ten goes wrong, and so does one job in ten."""
    simulation = Simulation(delay_s=0.2, jitter_s=0.2)
    with LocalRunPodServer(tmp_path / "runpod", simulation=simulation, seed=1) as server:
        server.faults.set(*FAULTS)
        yield server


def killed_after(person: Person, command: tuple[str, ...], results: int) -> None:
    """Start a batch, and kill it when it has told of so many results, or has ended."""
    process = person.start(*command, "--json")
    assert process.stdout is not None
    told = 0
    for line in process.stdout:
        told += json.loads(line)["event"] == "row"
        if told == results:
            break
    process.kill()
    process.communicate(timeout=PATIENCE_S)


def jobs_at(server: LocalRunPodServer) -> Counter[str]:
    """Return how many jobs RunPod was given for each row, by its own books."""
    with closing(sqlite3.connect(server.data_folder / "state.sqlite3")) as books:
        requests = books.execute("SELECT request FROM job").fetchall()
    return Counter(json.loads(request)["input"]["row"] for (request,) in requests)


def attempts_of(ledger_path: Path) -> Mapping[str, list[Record]]:
    """Return what the ledger knows of each row, the last attempt first."""
    found: dict[str, list[Record]] = defaultdict(list)
    with Ledger(ledger_path) as ledger:
        for record in ledger.each(Filter()):
            found[record.intent.row or ""].append(record)
    return found


def check_files(folder: Path, results: list[dict[str, Any]]) -> None:
    """Look whether every file is whole, and stands there once."""
    named = {file["path"]: file["sha256"] for each in results for file in each["files"]}
    assert len(named) == len(results)
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name not in {"results.jsonl", "results.csv"}
    }
    assert found == named


@pytest.mark.timeout(300)
def test_a_batch_through_faults_and_kills(chaos: LocalRunPodServer) -> None:
    """Every row has one result, every file is whole, and only what was unknown was sent twice."""
    ledger = Path("ledger.sqlite3").absolute()
    person = Person(Path.cwd(), {**chaos.environment(), "RUNPODCTL_LEDGER": str(ledger)})
    names = [f"r{number}" for number in range(ROWS)]
    rows = [json.dumps({"id": name, "input": {"row": name}}) for name in names]
    Path("rows.jsonl").write_text("\n".join(rows))
    where = endpoint(chaos, "quick", workers_max=5)
    command = ("batch", "run", "rows.jsonl", "-e", where, "-o", "out", "--retries", "9")
    chance = random.Random(7)  # noqa: S311 - no secret.
    for _ in range(KILLS):
        killed_after(person, command, chance.randrange(20, 150))
    ended = [person.run(*command, "--json")]
    batch_id = ended[0].events[-1]["id"]
    chaos.faults.clear()
    lost = {name for name, tried in attempts_of(ledger).items() if is_lost(tried)}
    assert ended[0].events[-1]["unknown"] == len(lost)
    if lost:
        assert (ended[0].code, ended[0].error["error"]) == (BATCH_FAILED, "batch_failed")
        again = ("batch", "retry", batch_id, "--unknown", "--failed", "--json")
        ended.append(person.run(*again))
    assert (ended[-1].code, ended[-1].events[-1]["succeeded"]) == (0, ROWS)
    results = [json.loads(line) for line in Path("out/results.jsonl").read_text().splitlines()]
    assert sorted(each["row"] for each in results) == sorted(names)
    check_files(Path("out"), results)
    attempts, had = attempts_of(ledger), jobs_at(chaos)
    assert sorted(had) == sorted(names)
    for name, tried in attempts.items():
        with_id = sum(each.job_id is not None for each in tried)
        unknown = sum(each.state is State.UNKNOWN for each in tried)
        repeated = sum(each.state is State.FAILED for each in tried)
        # Nothing was sent twice but what failed and what nobody knew.
        assert with_id == 1 + repeated
        assert with_id <= had[name] <= with_id + unknown


def is_lost(tried: list[Record]) -> bool:
    """Tell whether nobody knows of a row's last attempt whether RunPod took it."""
    return tried[0].state is State.UNKNOWN
