"""A batch in a world of its own: a RunPod far away, a disk, a clock, and somebody who kills.

Real are the ledger, the results' file and the files. Waiting takes no time, and everything that
touches the disk or the network is a step, so that the process can be killed between any two.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from runpodctl_py.api.types import Health, Job, JobCounts, JobStatus, Listed, WorkerCounts
from runpodctl_py.batch.asking import Asking
from runpodctl_py.batch.homecoming import Homecoming
from runpodctl_py.batch.pace import Limit, Pace
from runpodctl_py.batch.patience import Patience
from runpodctl_py.batch.results import ResultsFile, read_results
from runpodctl_py.batch.row import BadRow, Row, RowResult
from runpodctl_py.batch.runner import Runner
from runpodctl_py.batch.saving import Saving
from runpodctl_py.batch.sending import Sending
from runpodctl_py.batch.stock import RESULTS, take_stock
from runpodctl_py.batch.tally import Tally
from runpodctl_py.batch.window import Window
from runpodctl_py.batch.working import Given, Limits, Stop, Tools
from runpodctl_py.errors import (
    AnswerLostError,
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    RunpodctlError,
    ServerError,
    UnauthorizedError,
)
from runpodctl_py.in_groups import InGroups
from runpodctl_py.jobs.ledger import Batch, BatchState, Ledger, Place, Record, Scribe, State
from runpodctl_py.jobs.lost import LostJobs
from runpodctl_py.jobs.save import Fetched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from runpodctl_py.api.batches import NativeBatches
    from runpodctl_py.api.serverless import Serverless
    from runpodctl_py.api.types import JobRequest
    from runpodctl_py.jobs.save import Sink
    from runpodctl_py.jsontypes import JsonValue

RUNPOD = Place("https://api.runpod.ai/v2")
ENDPOINT = "i02xupws21hp6i"
LOCAL_PATIENCE_S = 10.0
_DISK_S = 0.001
_NETWORK_S = 0.05


class Killed(Exception):  # noqa: N818 - no error of the program's.
    """The process is gone; nothing that it would still do happens."""


class Machine:
    """What outlives a process: the time. It also counts the steps of one, and ends it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.steps = 0
        self.lives_for: int | None = None

    def step(self) -> None:
        """Do one thing that somebody else can see.

        Raises:
            Killed: It does not come to that.
        """
        if self.lives_for is not None and self.steps >= self.lives_for:
            raise Killed
        self.steps += 1


class _NoWaiting(selectors.SelectSelector):
    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if not found:
            assert timeout is not None, "everybody waits for something that never happens"
            self._machine.now_s += max(timeout, 0.0)
        return found


class InstantLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only while everybody waits, and a disk takes its time."""

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = machine or Machine()
        super().__init__(_NoWaiting(self.machine))

    def time(self) -> float:
        """Return the time that has passed."""
        return self.machine.now_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Do it in this thread, a moment later."""
        del executor
        done = self.create_future()

        def work() -> None:
            if done.done():
                return
            try:
                self.machine.step()
                done.set_result(func(*args))
            except Exception as exc:  # noqa: BLE001 # its caller's
                done.set_exception(exc)

        self.call_later(_DISK_S, work)
        return done


class LoopClock:
    """The loop's time."""

    def now_s(self) -> float:
        """Return it."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a job.

    Args:
        status: Where it ends.
        takes_s: After which time; infinite if it never does.
        output: What it returns; None for something that tells its input.
        error: What its worker says.
        is_dropped: Whether RunPod does not know it any more then.
    """

    status: JobStatus = JobStatus.COMPLETED
    takes_s: float = 2.0
    output: JsonValue = None
    error: JsonValue = None
    is_dropped: bool = False


DIED = Fate(JobStatus.FAILED, error="job timed out after 1 retries")
TIMED_OUT = Fate(JobStatus.TIMED_OUT)
INVALID = Fate(JobStatus.FAILED, error="validation_error: prompt is missing")
GONE = Fate(is_dropped=True)


@dataclass(slots=True)
class FarJob:
    """A job as RunPod has it."""

    job_id: str
    payload: JsonValue
    began_s: float
    fate: Fate

    @property
    def ends_s(self) -> float:
        """When it ends."""
        return self.began_s + self.fate.takes_s

    def seen(self, now_s: float) -> Job:
        """Return it as RunPod shows it."""
        if now_s < self.ends_s:
            return Job(self.job_id, JobStatus.IN_PROGRESS)
        fate = self.fate
        return Job(
            self.job_id,
            fate.status,
            output={"said": self.payload} if fate.output is None else fate.output,
            error=fate.error,
            delay_ms=10,
            execution_ms=round(1000 * fate.takes_s),
            worker_id="w1",
        )


@dataclass
class FarRunPod:
    """An endpoint of RunPod's, as `Serverless` shows it.

    Args:
        machine: Tells the time.
        fate: What becomes of a row's job, by the row and how many of its jobs were before.
        trouble: What goes wrong with a request, by its operation and how many were before; None
            if nothing does. See `_trouble`.
        latency_s: How long a request, and an answer, are on their way.
    """

    machine: Machine
    fate: Callable[[str, int], Fate] = lambda _row, _before: Fate()
    trouble: Callable[[str, int], str | None] = lambda _operation, _before: None
    latency_s: Callable[[], float] = lambda: _NETWORK_S
    endpoint_id: str = ENDPOINT
    jobs: dict[str, FarJob] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    most_held: int = 0
    _held: int = 0

    def of(self, row: str) -> list[FarJob]:
        """Return the jobs of a row."""
        return [each for each in self.jobs.values() if each.payload == {"row": row}]

    async def run(self, request: JobRequest, *, tries: int | None = None) -> Job:
        """Queue a job."""
        assert tries == 1, "what is sent is a row's, and nobody else may repeat it"
        trouble = await self._arrived("run")
        if trouble == "lost":
            self._add(request)
        self._trouble(trouble)
        job = self._add(request)
        await asyncio.sleep(self.latency_s())
        return replace(job.seen(self.machine.now_s), status=JobStatus.IN_QUEUE, output=None)

    async def status(self, job_id: str, *, tries: int | None = None) -> Job:
        """Return a job as it is."""
        del tries
        self._trouble(await self._arrived("status"))
        job = self._known(job_id)
        await asyncio.sleep(self.latency_s())
        return job.seen(self.machine.now_s)

    async def status_sync(self, job_id: str, wait_ms: int) -> Job:
        """Return a job when it has ended, or after a while."""
        trouble = await self._arrived("status-sync")
        if trouble == "early":
            return self._known(job_id).seen(self.machine.now_s)
        self._trouble(trouble)
        self._held += 1
        self.most_held = max(self.most_held, self._held)
        try:
            ends_s = self._known(job_id, is_final=False).ends_s
            await asyncio.sleep(max(0.0, min(ends_s - self.machine.now_s, wait_ms / 1000)))
        finally:
            self._held -= 1
        job = self._known(job_id)
        await asyncio.sleep(self.latency_s())
        return job.seen(self.machine.now_s)

    async def requests(self) -> list[Listed]:
        """Return the jobs, the latest first."""
        self._trouble(await self._arrived("requests"))
        return [Listed(each.job_id, each.payload) for each in reversed(self.jobs.values())]

    async def health(self, *, tries: int | None = None) -> Health:
        """Return that there are two workers."""
        del tries
        self._trouble(await self._arrived("health"))
        return Health(JobCounts(), WorkerCounts(running=2))

    def cancel(self, job_id: str) -> None:
        """End a job, as another command does."""
        job = self.jobs[job_id]
        takes_s = self.machine.now_s - job.began_s
        job.fate = Fate(JobStatus.CANCELLED, takes_s, output={})

    async def _arrived(self, operation: str) -> str | None:
        await asyncio.sleep(self.latency_s())
        self.machine.step()
        before = self.calls.get(operation, 0)
        self.calls[operation] = before + 1
        return self.trouble(operation, before)

    def _add(self, request: JobRequest) -> FarJob:
        row = str(request.payload["row"])
        fate = self.fate(row, len(self.of(row)))
        job = FarJob(f"j{len(self.jobs)}-u1", request.as_json()["input"], self.machine.now_s, fate)
        self.jobs[job.job_id] = job
        return job

    def _known(self, job_id: str, *, is_final: bool = True) -> FarJob:
        job = self.jobs.get(job_id)
        is_dropped = job is not None and job.fate.is_dropped and job.ends_s <= self.machine.now_s
        if job is None or (is_final and is_dropped):
            raise NotFoundError(f"there is no job {job_id}", job_id=job_id)
        return job

    def _trouble(self, word: str | None) -> None:
        match word:
            case None:
                return
            case "429":
                raise RateLimitedError("too many requests", retry_after_s=1.0)
            case "down":
                raise NetworkError("no route to host")
            case "503":
                raise ServerError("RunPod answered 503", status=503)
            case "lost" | "lost-before":
                raise AnswerLostError("The request was sent, but nobody answered")
            case "refused":
                raise RefusedError("RunPod refused the request")
            case "401":
                raise UnauthorizedError("RunPod does not accept the API key")
            case _:
                raise NotFoundError("RunPod answered 404")


def serverless(runpod: FarRunPod) -> Serverless:
    """Return it as the program knows it."""
    endpoint: Serverless = runpod  # type: ignore[assignment] # all that is asked of it
    return endpoint


def script(**troubles: Sequence[str | None]) -> Callable[[str, int], str | None]:
    """Return what has the first requests of an operation go wrong, one after another."""

    def trouble(operation: str, before: int) -> str | None:
        words = troubles.get(operation.replace("-", "_"), ())
        return words[before] if before < len(words) else None

    return trouble


@dataclass
class Links:
    """Fetches any link: its content is its name."""

    broken: set[str] = field(default_factory=set)

    async def fetch(self, url: str, sink: Sink) -> Fetched:
        """Fetch one."""
        if url in self.broken:
            raise NetworkError("the link has expired")
        sink.write(url.encode())
        return Fetched(content_type="text/plain")


def row_of(number: int, name: str | None = None) -> Row:
    """Return a row, which sends its own name."""
    name = name or f"r{number}"
    return Row(number, name, {"row": name})


def rows_of(count: int) -> list[Row]:
    """Return some rows, on a line each."""
    return [row_of(number) for number in range(1, count + 1)]


def batch_of(folder: Path, total: int = 3, **changes: Any) -> Batch:
    """Return a batch whose results go into a folder."""
    batch = Batch(
        batch_id="b7f3a2",
        identity="same",
        place=RUNPOD,
        endpoint_id=ENDPOINT,
        preset=None,
        source=folder / "rows.jsonl",
        sha256="0" * 64,
        total=total,
        output_dir=folder / "out",
    )
    return replace(batch, **changes)


def nothing(record: Record) -> bool:
    """Tell that no row is sent once more."""
    del record
    return False


def failed(record: Record) -> bool:
    """Tell that a row is sent once more if it failed, as `batch retry --failed` does."""
    is_done = record.saved_at is not None or record.state is State.EXPIRED
    return is_done and (record.state is not State.COMPLETED or record.error is not None)


def unknown(record: Record) -> bool:
    """Tell that a row is sent once more if it is unknown, as `batch retry --unknown` does."""
    return record.state is State.UNKNOWN


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a process ended.

    Args:
        stop: Why nothing more was sent, if it came to that.
        tally: How the batch stood.
        error: What ended it otherwise.
        steps: How many it made.
    """

    stop: Stop | None
    tally: Tally
    error: BaseException | None
    steps: int


class Scene:
    """A batch, and the processes that work on it, one after another.

    Args:
        folder: Where everything is.
        rows: Its rows.
        runpod: Where they run; one that works if there is none.
        price_per_s_usd: What a second costs.
    """

    def __init__(
        self,
        folder: Path,
        rows: Iterable[Row | BadRow],
        runpod: FarRunPod | None = None,
        price_per_s_usd: float | None = None,
    ) -> None:
        self.rows = list(rows)
        self.runpod = runpod or FarRunPod(Machine())
        self.machine = self.runpod.machine
        self.batch = batch_of(folder, len(self.rows))
        self.ledger_path = folder / "ledger.sqlite3"
        self.links = Links()
        self.told: list[RowResult] = []
        self.complaints: deque[str] = deque()
        self.patience_s = 300.0
        self.at_once = 100
        self.price_per_s_usd = price_per_s_usd
        self.loop: InstantLoop | None = None

    @property
    def results_path(self) -> Path:
        """Where the results are."""
        return self.batch.output_dir / RESULTS

    def results(self) -> dict[str, RowResult]:
        """Return the results by row; each has one."""
        found = list(read_results(self.results_path))
        by_name = {each.name: each for each in found}
        assert len(by_name) == len(found), "a row has two results"
        return by_name

    def attempts(self, row: str) -> list[Record]:
        """Return what the ledger knows of a row, the first attempt first."""
        with Ledger(self.ledger_path) as ledger:
            return [each for each in reversed(ledger.jobs()) if each.intent.row == row]

    def state(self) -> BatchState:
        """Return where the batch stands."""
        with Ledger(self.ledger_path) as ledger:
            return ledger.batches.find(self.batch.batch_id).state

    def run(
        self,
        limits: Limits | None = None,
        *,
        repeats: Callable[[Record], bool] = nothing,
        lives_for: int | None = None,
        interrupted_at_s: float | None = None,
        beside: Callable[[Scene], None] | None = None,
        beside_at_s: float = 1.0,
        window: int | None = None,
    ) -> Outcome:
        """Let a process work on it, as the command line does.

        Args:
            limits: What is allowed.
            repeats: Which rows that have ended are sent once more.
            lives_for: After how many steps it is killed.
            interrupted_at_s: When, after it began, somebody types Ctrl-C.
            beside: What another process does meanwhile.
            beside_at_s: When that does it.
            window: How many jobs may be in flight.
        """
        machine, tally = self.machine, Tally(len(self.rows))
        tally.invalid = sum(isinstance(each, BadRow) for each in self.rows)
        machine.lives_for = None if lives_for is None else machine.steps + lives_for
        before = machine.steps

        async def main() -> Stop:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(self._complain)
            task = asyncio.current_task()
            assert task is not None
            if interrupted_at_s is not None:
                loop.call_later(interrupted_at_s, task.cancel)
            if beside is not None:
                loop.call_later(beside_at_s, beside, self)
            return await self._work(
                limits or Limits(),
                tally,
                repeats,
                Window() if window is None else Window(window, window),
            )

        stop, error = None, None
        with asyncio.Runner(loop_factory=lambda: InstantLoop(machine)) as runner:
            try:
                stop = runner.run(main())
            except (RunpodctlError, asyncio.CancelledError) as exc:
                error = exc
            except (Killed, BaseExceptionGroup) as exc:
                error = _only_killed(exc)
            finally:
                machine.lives_for = None
        return Outcome(stop, tally, error, machine.steps - before)

    async def _work(
        self,
        limits: Limits,
        tally: Tally,
        repeats: Callable[[Record], bool],
        window: Window,
    ) -> Stop:
        with Ledger(self.ledger_path) as ledger, ResultsFile(self.results_path) as file:
            _hurry(ledger)
            is_begun = bool(ledger.batches.all())
            if not is_begun:
                ledger.batches.add(self.batch)
            assert ledger.batches.claim(self.batch.batch_id)
            ledger.batches.move(self.batch.batch_id, BatchState.OPEN)
            ledger.settle()

            def is_due(record: Record) -> bool:
                return record.state is State.NOT_SENT or repeats(record)

            take_stock(self.batch, file, ledger, tally, is_due)
            async with AsyncExitStack() as stack:
                tools = await self._tools(stack, ledger, file, tally, window)
                given = Given(
                    batch=self.batch,
                    rows=lambda: iter(self.rows),
                    tools=tools,
                    limits=limits,
                    tally=tally,
                    is_begun=is_begun,
                    repeats=repeats,
                )
                stop = await Runner(given).run()
            if stop is Stop.DONE and not tally.left:
                ledger.batches.move(self.batch.batch_id, BatchState.DONE)
            ledger.batches.let_go(self.batch.batch_id)
        return stop

    async def _tools(
        self,
        stack: AsyncExitStack,
        ledger: Ledger,
        file: ResultsFile,
        tally: Tally,
        window: Window,
    ) -> Tools:
        clock, endpoint = LoopClock(), serverless(self.runpod)
        patience = Patience(clock, self.patience_s)
        batch = self.batch
        saving = Saving(batch.output_dir, batch.batch_id, lambda: self.links, self.price_per_s_usd)
        saving.prepare()
        status = Pace(Limit(None, 400), clock)
        asking = Asking(endpoint, status, self.at_once, patience, tally, clock)
        scribe = Scribe(self.ledger_path)
        _hurry(scribe._ledger)
        # A kill closes it, too.
        stack.callback(scribe._ledger.close)
        await stack.enter_async_context(scribe)
        lines = await stack.enter_async_context(InGroups(partial(_appended, file)))
        return Tools(
            endpoint=endpoint,
            # Nobody asks for them here.
            batches=cast("NativeBatches", None),
            scribe=scribe,
            sending=Sending(batch, endpoint, scribe, Pace(Limit(100, 200), clock), patience, tally),
            asking=asking,
            homecoming=Homecoming(saving, lines, scribe, tally, self.told.append),
            lost=lambda: LostJobs(ledger, endpoint),
            patience=patience,
            window=window,
            clock=clock,
        )

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")


def _hurry(ledger: Ledger) -> None:
    """Have a ledger wait for no disk: who is killed here suffers no power cut."""
    ledger._database._connection.execute("PRAGMA synchronous = OFF")


def _appended(file: ResultsFile, results: Sequence[RowResult]) -> list[None]:
    file.append(results)
    return [None] * len(results)


def _only_killed(error: BaseException) -> BaseException:
    """Return that it was killed, unless something else went wrong, too."""
    rest = error
    if isinstance(error, BaseExceptionGroup):
        _, rest = error.split(Killed)
        if rest is None:
            return Killed()
    if isinstance(rest, Killed):
        return rest
    raise error
