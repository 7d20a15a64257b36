"""What outlives a restart."""

from __future__ import annotations

import random
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.jobs.job import Job, JobStatus
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from conftest import World

    from runpodctl_py.emulator.store import Store


@pytest.mark.proves("rule: restart")
def test_everything_comes_back_as_it_was(tmp_path: Path, start: Callable[[Store], World]) -> None:
    """Templates, endpoints, counters and jobs are equal after a restart."""
    path = tmp_path / "state.sqlite3"
    store = SqliteStore(path)
    world = start(store)
    volume = world.state.account.create_volume("v", 10, "EU-RO-1")
    endpoint = world.endpoint(network_volume_ids=(volume.id,), workers_max=2)
    done, worker = world.running(endpoint)
    world.state.fleet.result(worker.id, done.id, {"output": {"text": "\ud800 lone"}})
    world.state.expire(world.job(done), 60_000)
    queued = world.submit(endpoint, ttl_ms=99_000, low_priority=True)
    store.add_chunk(done.id, {"token": 1})
    finished, chunks = world.job(done), store.chunks(done.id)
    before = store.load()
    store.close()

    again = SqliteStore(path)
    assert again.load() == before
    state = start(again).state
    assert state.job(endpoint.id, done.id) == finished
    assert finished.outcome == {"output": {"text": "\ud800 lone"}}
    assert state.jobs.take_chunks(done) == chunks != []
    assert state.jobs.queue(endpoint.id, 9) == [queued]
    assert state.control.endpoints == {endpoint.id: endpoint}
    assert state.health(endpoint.id).counters.completed == 1
    again.close()


@pytest.mark.proves("rule: restart")
def test_a_running_job_begins_anew_however_often_the_emulator_is_killed(
    tmp_path: Path, start: Callable[[Store], World]
) -> None:
    """No retry is counted: its worker was not at fault."""
    store = SqliteStore(tmp_path / "state.sqlite3")
    world = start(store)
    endpoint = world.endpoint()
    job, _ = world.running(endpoint)
    for _ in range(3):
        world = start(store)
        assert (world.job(job).status, world.job(job).retries) == (JobStatus.IN_QUEUE, 0)
        world.state.fleet.take(world.worker(endpoint), 1)
    assert world.state.health(endpoint.id).counters.retried == 0
    store.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """An older version of this package must not touch what it does not understand."""
    path = tmp_path / "state.sqlite3"
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(EmulatorError, match="newer version"):
        SqliteStore(path)


def test_a_broken_file_is_an_error_with_words(tmp_path: Path) -> None:
    """SQLite's own exceptions do not get out."""
    path = tmp_path / "state.sqlite3"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(EmulatorError, match="database cannot be used"):
        SqliteStore(path)


def test_what_is_written_together_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    """A kill in the middle, or an error, leaves nothing of it behind, inner parts included."""
    path = tmp_path / "state.sqlite3"
    store, killed = SqliteStore(path), SqliteStore(path)
    with suppress(ZeroDivisionError), store.together():
        store.put("thing", "a", {"id": "a"})
        with store.together():
            store.put("thing", "b", {"id": "b"})
        raise ZeroDivisionError
    assert killed.load().of("thing") == ()
    move = store.together()
    move.__enter__()
    store.put("thing", "a", {"id": "a"})
    assert killed.load().of("thing") == ()
    move.__exit__(None, None, None)
    assert killed.load().of("thing") == [{"id": "a"}]
    store.close()
    killed.close()


# In 82, SQLite leaves a copy of a row behind: one of 120 sequences does.
@pytest.mark.parametrize("seed", [1, 82])
def test_a_key_that_was_dropped_is_nowhere_in_the_files(tmp_path: Path, seed: int) -> None:
    """However rows of all sizes came, went and were moved from page to page in between."""
    chance = random.Random(seed)  # noqa: S311 - no secret depends on it.
    store, waiting = SqliteStore(tmp_path / "state.sqlite3"), list[Job]()
    for number in range(150):
        if chance.random() < 0.6 or not waiting:
            filling = "x" * chance.choice([1, 10, 300, 1500, 3900, 5000])
            request = {"input": filling, "s3Config": {"accessSecret": f"MARKER{number}"}}
            waiting.append(new_job(f"{chance.random()}", request))
            store.add_job(waiting[-1])
        else:
            job = waiting.pop(chance.randrange(len(waiting)))
            end(store, job, "y" * chance.choice([1, 500, 9000]))
    for job in waiting:
        end(store, job, "")
    store.close()
    (path,) = tmp_path.glob("state.sqlite3*")
    assert b"MARKER" not in path.read_bytes()


def new_job(job_id: str, request: Mapping[str, Any]) -> Job:
    """Returns a job that waits."""
    return Job(id=job_id, endpoint_id="e", request=request, created_at=1.0, queued_at=1.0)


def end(store: Store, job: Job, output: str) -> None:
    """Keeps that a job is done, as the book of jobs does."""
    done = job.finished({"output": output}, 2.0).keyless()
    with store.together():
        store.update_job(done)
        store.update_request(done)
