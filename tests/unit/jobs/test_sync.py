"""What an answer of RunPod's means for a job of the ledger, case by case."""

from __future__ import annotations

import asyncio
import base64
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.api.types import Job, JobStatus, Listed
from runpodctl_py.errors import (
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    RunpodctlError,
    ServerError,
    UnauthorizedError,
)
from runpodctl_py.jobs.ledger import Deployment, Home, Intent, Ledger, Place, Record, State
from runpodctl_py.jobs.save import Fetched
from runpodctl_py.jobs.sync import Came, Result, Syncing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.jobs.save import Sink

RUNPOD = Place("https://api.runpod.ai/v2")
OUTPUT = {"filename": "a.bin", "content_base64": base64.b64encode(b"fine").decode()}


class Endpoint:
    """An endpoint that answers as a test wants, and counts what it is asked."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.listed: list[Listed] = []
        self.error: RunpodctlError | None = None
        self.asked: Counter[str] = Counter()

    async def status(self, job_id: str) -> Job:
        """Return a job, or say that there is none."""
        self.asked["status"] += 1
        await asyncio.sleep(0)
        if job_id not in self.jobs:
            raise self.error or NotFoundError("gone")
        return self.jobs[job_id]

    async def requests(self) -> list[Listed]:
        """Return the list, or say that there is none."""
        self.asked["requests"] += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.listed


class Fetcher:
    """Fetches one job's links."""

    def __init__(self) -> None:
        self._urls: list[str] = []

    async def fetch(self, url: str, sink: Sink) -> Fetched:
        """Write how many links it has been given so far."""
        self._urls.append(url)
        sink.write(f"{len(self._urls)}".encode())
        return Fetched()


@pytest.fixture
def endpoint() -> Endpoint:
    """One without jobs."""
    return Endpoint()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty one."""
    with Ledger(tmp_path / "ledger.sqlite3") as it:
        yield it


def done(job_id: str = "j1-u1", output: Any = "fine", status: str = "COMPLETED") -> Job:
    """Return a job that has ended."""
    return Job(job_id, JobStatus(status), output=output, execution_ms=2000)


def written(ledger: Ledger, state: State, job_id: str = "j1-u1", **changes: Any) -> str:
    """Write a job down that came to a state, and return its key."""
    given = {"place": RUNPOD, "endpoint_id": "e", "payload": {"n": 1}, **changes}
    key = ledger.intend(Intent(**given))
    match state:
        case State.UNKNOWN:
            ledger.unknown(key, "cut off")
        case State.NOT_SENT:
            ledger.not_sent(key, "no")
        case State.QUEUED:
            ledger.sent(key, Job(job_id, JobStatus.IN_QUEUE))
        case _:
            ledger.sent(key, done(job_id, status=state.value.upper()))
    return key


def brought(
    ledger: Ledger,
    endpoint: Endpoint,
    *keys: str,
    is_directory_meant: bool = False,
    folder: str = "usual",
) -> list[Result]:
    """Ask for some jobs, all at once; files go into the folder `usual`, if nothing else is said."""
    asked: Serverless = endpoint  # type: ignore[assignment] # what is asked of it
    it = Syncing(ledger, asked, Path(folder), Fetcher, is_directory_meant=is_directory_meant)

    async def bring() -> list[Result]:
        return await asyncio.gather(*(it.bring(ledger.record(key)) for key in keys))

    return asyncio.run(bring())


def test_what_has_ended_is_saved(ledger: Ledger, endpoint: Endpoint) -> None:
    """With its cost at the price of that time, and a manifest that has its input."""
    ledger.deployed(
        Deployment(at=0, place=RUNPOD, action="create", endpoint_id="e", price_per_s_usd=0.001)
    )
    key = written(ledger, State.QUEUED)
    endpoint.jobs["j1-u1"] = done(output=OUTPUT)
    (result,) = brought(ledger, endpoint, key)
    record = ledger.record(key)
    assert (result.came, result.record, record.state) == (Came.HOME, record, State.COMPLETED)
    assert (record.cost_usd, record.file_count, record.waits) == (0.002, 1, False)
    (file,) = ledger.files(key)
    assert (file.path, file.path.read_bytes()) == (Path.cwd() / "usual" / "a.bin", b"fine")
    assert '"n": 1' in Path("usual/j1-u1.job.json").read_text()


def test_the_local_runpod_is_free(ledger: Ledger, endpoint: Endpoint) -> None:
    """Whatever its pools would cost."""
    local = Place("/data", is_local=True)
    ledger.deployed(
        Deployment(at=0, place=local, action="create", endpoint_id="e", price_per_s_usd=0.001)
    )
    key = written(ledger, State.QUEUED, place=local)
    endpoint.jobs["j1-u1"] = done(output=OUTPUT)
    brought(ledger, endpoint, key)
    cost_usd = ledger.record(key).cost_usd
    assert (cost_usd, type(cost_usd)) == (0.0, float)


def test_what_nobody_knows_the_price_of_has_no_cost(ledger: Ledger, endpoint: Endpoint) -> None:
    """It was set up by somebody else."""
    key = written(ledger, State.QUEUED)
    endpoint.jobs["j1-u1"] = done(output=OUTPUT)
    brought(ledger, endpoint, key)
    assert ledger.record(key).cost_usd is None


@pytest.mark.parametrize(("is_meant", "folder"), [(False, "chosen"), (True, "usual")])
def test_files_go_where_they_were_to_go(
    ledger: Ledger, endpoint: Endpoint, *, is_meant: bool, folder: str
) -> None:
    """Unless somebody wants them elsewhere now."""
    key = written(ledger, State.QUEUED, output_dir=Path("chosen").absolute())
    endpoint.jobs["j1-u1"] = done(output=OUTPUT)
    brought(ledger, endpoint, key, is_directory_meant=is_meant)
    assert [each.path.parent.name for each in ledger.files(key)] == [folder]


def test_what_runs_is_left_to_run(ledger: Ledger, endpoint: Endpoint) -> None:
    """Its state is written down, and nothing is saved."""
    key = written(ledger, State.QUEUED)
    endpoint.jobs["j1-u1"] = Job("j1-u1", JobStatus.IN_PROGRESS, output={"progress": 50})
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).state) == (Came.RUNNING, State.RUNNING)
    assert not Path("usual").exists()


def test_what_runpod_has_dropped_is_expired(ledger: Ledger, endpoint: Endpoint) -> None:
    """And is not asked for again by itself."""
    key = written(ledger, State.COMPLETED)
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).state) == (Came.EXPIRED, State.EXPIRED)
    assert ledger.record(key).waits is False


def test_what_is_here_does_not_expire(ledger: Ledger, endpoint: Endpoint) -> None:
    """Whoever names it hears that it was fetched already."""
    key = written(ledger, State.COMPLETED)
    ledger.home(key, Home())
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, result.summary) == (Came.HOME, None)
    assert ledger.record(key).state is State.COMPLETED


def test_a_second_look_that_brings_less(ledger: Ledger, endpoint: Endpoint) -> None:
    """Nothing is taken back of what was saved; that this look was no success is told."""
    key = written(ledger, State.QUEUED)
    endpoint.jobs["j1-u1"] = done(output=OUTPUT)
    brought(ledger, endpoint, key)
    before = ledger.record(key)
    Path("other").write_text("in the way")
    (result,) = brought(ledger, endpoint, key, folder="other")
    assert (result.came, len(ledger.files(key))) == (Came.IN_PART, 1)
    after = ledger.record(key)
    assert (after.saved_at, after.error, after.waits) == (before.saved_at, None, False)


def test_a_cancelled_job_needs_no_fetching(ledger: Ledger, endpoint: Endpoint) -> None:
    """RunPod returns nothing for it, and it cannot expire."""
    key = written(ledger, State.QUEUED)
    endpoint.jobs["j1-u1"] = Job("j1-u1", JobStatus.CANCELLED)
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).waits) == (Came.HOME, False)
    del endpoint.jobs["j1-u1"]
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, result.record.state) == (Came.HOME, State.CANCELLED)


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
def test_odd_characters_cost_no_job(ledger: Ledger, endpoint: Endpoint, status: str) -> None:
    """Half a character of UTF-16 in all that a worker can say, and a folder that is no text."""
    odd, folder = "\ud800", Path(os.fsdecode(b"caf\xe9")).absolute()
    key = written(ledger, State.QUEUED, payload={"text": odd}, output_dir=folder)
    endpoint.jobs["j1-u1"] = Job(
        "j1-u1",
        JobStatus(status),
        output={"text": odd, odd: 2**70, **OUTPUT},
        error=f"no {odd}",
        worker_id=odd,
        execution_ms=2000,
    )
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).waits) == (Came.HOME, False)
    assert ledger.record(key).worker_id == "\\ud800"
    kept = [each.path for each in ledger.files(key) if each.path.suffix == ".bin"]
    assert (kept, kept[0].read_bytes()) == ([folder / "a.bin"], b"fine")
    assert ledger.worker_error(key) == f"no {odd}"


def test_what_was_gone_may_come_back(ledger: Ledger, endpoint: Endpoint) -> None:
    """RunPod was asked with another account's key, say."""
    key = written(ledger, State.QUEUED)
    brought(ledger, endpoint, key)
    endpoint.jobs["j1-u1"] = done()
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).state) == (Came.HOME, State.COMPLETED)


@pytest.mark.parametrize("state", [State.FAILED, State.TIMED_OUT])
@pytest.mark.parametrize("status", ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"])
def test_what_was_repeated_elsewhere_begins_anew(
    ledger: Ledger, endpoint: Endpoint, state: State, status: str
) -> None:
    """Somebody has had RunPod run it once more, even if its end is here already."""
    key = written(ledger, state)
    ledger.home(key, Home(error="it broke"))
    endpoint.jobs["j1-u1"] = done(status=status)
    brought(ledger, endpoint, key)
    seen = [each.state for each in ledger.sightings(key)]
    assert ledger.record(key).state is State.of(JobStatus(status))
    assert seen[1:3] == [state, State.QUEUED]


@pytest.mark.parametrize("error", [NetworkError("no"), UnauthorizedError("no"), ServerError("no")])
def test_trouble_changes_nothing(ledger: Ledger, endpoint: Endpoint, error: RunpodctlError) -> None:
    """Not reached is not gone."""
    key = written(ledger, State.QUEUED)
    before, endpoint.error = ledger.record(key), error
    with pytest.raises(type(error)):
        brought(ledger, endpoint, key)
    assert ledger.record(key) == before


def test_what_could_not_be_saved_stays_to_be_fetched(ledger: Ledger, endpoint: Endpoint) -> None:
    """The next time may find room."""
    key = written(ledger, State.QUEUED)
    endpoint.jobs["j1-u1"] = done(output=OUTPUT)
    Path("usual").write_text("in the way")
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).waits) == (Came.IN_PART, True)
    Path("usual").unlink()
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).waits) == (Came.HOME, False)


def test_limits_on_links_are_one_jobs(ledger: Ledger, endpoint: Endpoint) -> None:
    """What fetches them counts; for each job it begins at nothing."""
    keys = [written(ledger, State.QUEUED, f"j{number}-u1") for number in (1, 2)]
    for job_id in ("j1-u1", "j2-u1"):
        endpoint.jobs[job_id] = done(job_id, {"url": f"https://e.org/{job_id}.bin"})
    brought(ledger, endpoint, *keys)
    contents = [file.path.read_bytes() for key in keys for file in ledger.files(key)]
    assert contents == [b"1", b"1"]


# Jobs whose answer was lost.


def put(endpoint: Endpoint, *job_ids: str, payload: Any = None, has_payload: bool = True) -> None:
    """Let an endpoint have jobs, and list them."""
    for each in job_ids:
        endpoint.jobs[each] = done(each)
        endpoint.listed.append(Listed(each, payload or {"n": 1}, has_payload=has_payload))


def test_one_with_our_input_is_ours(ledger: Ledger, endpoint: Endpoint) -> None:
    """It is found, and saved."""
    key = written(ledger, State.UNKNOWN)
    put(endpoint, "j1-u1")
    put(endpoint, "j2-u1", payload={"n": 2})
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).job_id) == (Came.HOME, "j1-u1")
    assert [each.state for each in ledger.sightings(key)] == [
        State.SENDING,
        State.UNKNOWN,
        State.COMPLETED,
    ]


def nobody_knows(record: Record) -> bool:
    """Whether a job is as unknown as it was."""
    return (record.state, record.job_id, record.error) == (State.UNKNOWN, None, "cut off")


def test_of_two_that_are_alike_none_is_taken(ledger: Ledger, endpoint: Endpoint) -> None:
    """One of them may be somebody else's."""
    key = written(ledger, State.UNKNOWN)
    put(endpoint, "j1-u1", "j2-u1")
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, nobody_knows(ledger.record(key))) == (Came.UNKNOWN, True)


def test_one_that_is_ours_already_is_not_another(ledger: Ledger, endpoint: Endpoint) -> None:
    """The same input was sent twice, and one of the answers came."""
    written(ledger, State.QUEUED)
    key = written(ledger, State.UNKNOWN)
    put(endpoint, "j1-u1")
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, nobody_knows(ledger.record(key))) == (Came.UNKNOWN, True)
    put(endpoint, "j2-u1")
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).job_id) == (Came.HOME, "j2-u1")


def test_two_that_look_at_once_do_not_find_one(ledger: Ledger, endpoint: Endpoint) -> None:
    """Each of RunPod's jobs is one of ours at most; the list is asked for once."""
    keys = [written(ledger, State.UNKNOWN) for _ in range(3)]
    put(endpoint, "j1-u1")
    results = brought(ledger, endpoint, *keys)
    assert sorted(each.came for each in results) == [Came.HOME, Came.UNKNOWN, Came.UNKNOWN]
    assert sorted(each.job_id or "" for each in ledger.jobs()) == ["", "", "j1-u1"]
    assert endpoint.asked["requests"] == 1


@pytest.mark.parametrize("error", [NotFoundError("no"), RefusedError("no"), ServerError("no")])
def test_where_there_is_no_list(ledger: Ledger, endpoint: Endpoint, error: RunpodctlError) -> None:
    """Nobody can tell."""
    key = written(ledger, State.UNKNOWN)
    endpoint.error = error
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, nobody_knows(ledger.record(key))) == (Came.UNKNOWN, True)


@pytest.mark.parametrize("error", [RateLimitedError("no"), NetworkError("no")])
def test_where_the_list_cannot_be_had_now(
    ledger: Ledger, endpoint: Endpoint, error: RunpodctlError
) -> None:
    """That is said, and changes nothing."""
    key = written(ledger, State.UNKNOWN)
    endpoint.error = error
    with pytest.raises(type(error)):
        brought(ledger, endpoint, key)
    assert nobody_knows(ledger.record(key))


def test_a_list_without_inputs_tells_nothing(ledger: Ledger, endpoint: Endpoint) -> None:
    """An id alone may be anybody's."""
    key = written(ledger, State.UNKNOWN)
    put(endpoint, "j1-u1", has_payload=False)
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, nobody_knows(ledger.record(key))) == (Came.UNKNOWN, True)


def test_inputs_are_compared_without_their_secrets(ledger: Ledger, endpoint: Endpoint) -> None:
    """What we have of ours is masked; all else has to be the same."""
    key = written(ledger, State.UNKNOWN, payload={"api_key": "s3cret", "n": 1})
    put(endpoint, "j1-u1", payload={"api_key": "s3cret", "n": 2})
    put(endpoint, "j2-u1", payload={"n": 1})
    put(endpoint, "j3-u1", payload={"api_key": "s3cret", "n": 1})
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).job_id) == (Came.HOME, "j3-u1")


def test_two_inputs_that_differ_in_a_secret_are_alike(ledger: Ledger, endpoint: Endpoint) -> None:
    """Nobody can tell which is ours."""
    key = written(ledger, State.UNKNOWN, payload={"api_key": "s3cret"})
    put(endpoint, "j1-u1", payload={"api_key": "s3cret"})
    put(endpoint, "j2-u1", payload={"api_key": "another's"})
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, nobody_knows(ledger.record(key))) == (Came.UNKNOWN, True)


@pytest.mark.parametrize("free", [1, 2, 3])
def test_of_several_alike_each_takes_one(ledger: Ledger, endpoint: Endpoint, free: int) -> None:
    """As many as there are; the one that was sent first takes the one that RunPod took first."""
    keys = [written(ledger, State.UNKNOWN) for _ in range(3)]
    # RunPod lists the newest first.
    put(endpoint, *(f"j{number}-u1" for number in range(free, 0, -1)))
    brought(ledger, endpoint, *keys)
    expected = ["j1-u1", "j2-u1", "j3-u1", None][:free] + [None] * (3 - free)
    assert [ledger.record(key).job_id for key in keys] == expected
    assert endpoint.asked["requests"] == 1


def test_of_more_than_were_lost_none_is_taken(ledger: Ledger, endpoint: Endpoint) -> None:
    """One of them is somebody else's, and nobody can tell which."""
    keys = [written(ledger, State.UNKNOWN) for _ in range(2)]
    put(endpoint, "j1-u1", "j2-u1", "j3-u1")
    results = brought(ledger, endpoint, *keys)
    assert [each.came for each in results] == [Came.UNKNOWN, Came.UNKNOWN]
    assert all(nobody_knows(ledger.record(key)) for key in keys)


def test_one_of_two_that_is_asked_for_alone(ledger: Ledger, endpoint: Endpoint) -> None:
    """Its twin may take the other one later."""
    first, second = (written(ledger, State.UNKNOWN) for _ in range(2))
    put(endpoint, "j2-u1", "j1-u1")
    brought(ledger, endpoint, first)
    brought(ledger, endpoint, second)
    assert [ledger.record(key).job_id for key in (first, second)] == ["j1-u1", "j2-u1"]


def test_while_a_twin_is_being_sent_none_is_taken(ledger: Ledger, endpoint: Endpoint) -> None:
    """It may be that one's."""
    key = written(ledger, State.UNKNOWN)
    twin = ledger.intend(Intent(place=RUNPOD, endpoint_id="e", payload={"n": 1}))
    put(endpoint, "j1-u1")
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, nobody_knows(ledger.record(key))) == (Came.UNKNOWN, True)
    ledger.sent(twin, Job("j2-u1", JobStatus.IN_QUEUE))
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, ledger.record(key).job_id) == (Came.HOME, "j1-u1")


def test_what_stood_aside_and_is_gone_is_not_looked_for(ledger: Ledger, endpoint: Endpoint) -> None:
    """Without its input nobody can tell which it is; that is no reason to fail."""
    key = written(ledger, State.UNKNOWN, payload={"text": "word " * 20_000})
    (aside,) = ledger.path.with_name(f"{ledger.path.name}.inputs").glob("*")
    aside.unlink()
    put(endpoint, "j1-u1")
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, nobody_knows(ledger.record(key))) == (Came.UNKNOWN, True)


def test_one_that_is_dropped_while_we_look(ledger: Ledger, endpoint: Endpoint) -> None:
    """It was listed, and is gone when it is asked for: as good as not found."""
    key = written(ledger, State.UNKNOWN)
    endpoint.listed.append(Listed("j1-u1", {"n": 1}))
    (result,) = brought(ledger, endpoint, key)
    assert (result.came, nobody_knows(ledger.record(key))) == (Came.UNKNOWN, True)


def test_one_that_is_dropped_is_no_other_ones_either(ledger: Ledger, endpoint: Endpoint) -> None:
    """Of two alike one is gone: the other is found all the same."""
    keys = [written(ledger, State.UNKNOWN) for _ in range(2)]
    put(endpoint, "j2-u1")
    endpoint.listed.append(Listed("j1-u1", {"n": 1}))
    results = brought(ledger, endpoint, *keys)
    assert [each.came for each in results] == [Came.UNKNOWN, Came.HOME]
    assert [ledger.record(key).job_id for key in keys] == [None, "j2-u1"]


def test_what_was_never_sent_is_not_looked_for(ledger: Ledger, endpoint: Endpoint) -> None:
    """Another job with the same input is not this one."""
    key = written(ledger, State.NOT_SENT)
    put(endpoint, "j1-u1")
    brought(ledger, endpoint, key)
    assert (ledger.record(key).state, ledger.record(key).job_id) == (State.NOT_SENT, None)
