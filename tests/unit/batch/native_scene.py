"""A RunPod of a few lines that keeps batches, dies where a test says, and a batch to run on it."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from runpodctl_py.api.batches import NativeBatches
from runpodctl_py.api.retrying import RetryPolicy
from runpodctl_py.api.serverless import Serverless
from runpodctl_py.api.transport import Transport
from runpodctl_py.batch.asking import Asking
from runpodctl_py.batch.homecoming import Homecoming
from runpodctl_py.batch.native import NativeRunner
from runpodctl_py.batch.pace import Limit, Pace
from runpodctl_py.batch.patience import Patience
from runpodctl_py.batch.results import ResultsFile, read_results
from runpodctl_py.batch.row import Row
from runpodctl_py.batch.saving import Saving
from runpodctl_py.batch.sending import Sending
from runpodctl_py.batch.stock import RESULTS, take_stock
from runpodctl_py.batch.tally import Tally
from runpodctl_py.batch.window import Window
from runpodctl_py.batch.working import Given, Limits, Stop, Tools
from runpodctl_py.in_groups import InGroups
from runpodctl_py.jobs.ledger import Batch, Ledger, Place, Record, Scribe, State
from runpodctl_py.jobs.lost import LostJobs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from runpodctl_py.batch.row import RowResult

ROOT = "http://127.0.0.1:1/v2"
ENDPOINT = "i02xupws21hp6i"


class KilledError(BaseException):
    """The process is gone."""


class QuickClock:
    """A clock that runs so many times as fast."""

    def __init__(self, speed: float = 200.0) -> None:
        self.speed = speed

    def now_s(self) -> float:
        """Return its time."""
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait for a part of that."""
        await asyncio.sleep(seconds / self.speed)


@dataclass
class FakeBatch:
    """A batch of the fake RunPod's: its requests by id, and what became of them."""

    native_id: str
    status: str = "DRAFT"
    inputs: dict[str, Any] = field(default_factory=dict)
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class FakeRunPod:
    """RunPod's batch API (API reference 4.8), in the words of its page.

    Args:
        result: What becomes of a request with an input, for the so-manieth time: a page's fields.
        per_look: How many requests end each time a summary is asked for.
        most_active: How many batches there may be.
        shows_inputs: Whether a draft's list tells what its requests ask for.
        is_forgetful: Whether nobody is told the status of a single job.
        has_batches: Whether there is such an API at all.
    """

    result: Callable[[Any, int], dict[str, Any]] = lambda given, _: completed(given)
    per_look: int = 1000
    most_active: int = 10
    shows_inputs: bool = True
    is_forgetful: bool = False
    has_batches: bool = True
    batches: dict[str, FakeBatch] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    held: Callable[[str], Awaitable[None]] | None = None
    before: Callable[[int, str], None] = lambda *_: None
    after: Callable[[int, str], None] = lambda *_: None

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; a test may have something happen before and after its effect."""
        _, _, _, *rest = request.url.path.split("/")
        name = f"{request.method} {'/'.join(part if 'b-' not in part else 'ID' for part in rest)}"
        if rest[0] != "batch":
            return self._other(rest)
        number = len(self.calls)
        self.calls.append(name)
        if self.held is not None:
            await self.held(name)
        self.before(number, name)
        answer = self._batch_answer(request, rest[1:])
        self.after(number, name)
        return answer

    def _other(self, rest: list[str]) -> httpx.Response:
        if rest == ["health"]:
            return httpx.Response(200, json={"jobs": {}, "workers": {}})
        ended = {key: each for batch in self.batches.values() for key, each in batch.ended.items()}
        if rest[1] in ended and not self.is_forgetful:
            more = {"delayTime": 1, "executionTime": 2000, "workerId": "w"}
            return httpx.Response(200, json={"id": rest[1], **ended[rest[1]], **more})
        return httpx.Response(404, json={})

    def _batch_answer(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        batch = self.batches.get(rest[0]) if rest else None
        if not self.has_batches or (rest and batch is None):
            return httpx.Response(404, json={})
        return self._all(request) if batch is None else self._one(request, batch, rest[1:])

    def _one(self, request: httpx.Request, batch: FakeBatch, rest: list[str]) -> httpx.Response:
        match request.method, rest:
            case "GET", []:
                self._work(batch)
            case "GET", ["requests"]:
                return self._page(request, batch)
            case "POST", ["cancel"]:
                if batch.status != "CANCELLED":
                    waiting = {key: {"status": "CANCELLED"} for key in batch.inputs}
                    batch.ended = {**waiting, **batch.ended}
                    batch.status = "CANCELLED"
            case "POST", [what] if batch.status != "DRAFT":
                return httpx.Response(400, json={"error": f"{what}: {batch.status}"})
            case "POST", ["requests"]:
                self.bodies.append(request.content)
                return self._add(batch, json.loads(request.content)["requests"])
            case "POST", ["finalize"]:
                batch.status = "FINALIZED"
        return httpx.Response(200, json=self._summary(batch))

    def _all(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            listed = [self._summary(each) for each in reversed(self.batches.values())]
            return httpx.Response(200, json={"batches": listed})
        if sum(map(self._is_active, self.batches.values())) >= self.most_active:
            return httpx.Response(429, json={"error": "too many batches"})
        self.bodies.append(request.content)
        batch = FakeBatch(f"b-{len(self.batches)}")
        if (answer := self._add(batch, json.loads(request.content))).is_success:
            self.batches[batch.native_id] = batch
        return answer

    @staticmethod
    def _is_active(batch: FakeBatch) -> bool:
        return batch.status != "CANCELLED" and not 0 < len(batch.inputs) == len(batch.ended)

    def _add(self, batch: FakeBatch, given: Sequence[Any]) -> httpx.Response:
        if any(each["input"].get("bad") for each in given):
            return httpx.Response(400, json={"error": "request 0: bad"})
        for each in given:
            batch.inputs[f"{batch.native_id}-r{len(batch.inputs)}"] = each["input"]
        return httpx.Response(200, json=self._summary(batch))

    def _work(self, batch: FakeBatch) -> None:
        """End some requests, from the last one on: RunPod promises no order."""
        if batch.status != "FINALIZED":
            return
        waiting = [key for key in reversed(batch.inputs) if key not in batch.ended]
        for key in waiting[: self.per_look]:
            row = batch.inputs[key]["row"]
            self.runs[row] += 1
            batch.ended[key] = self.result(batch.inputs[key], self.runs[row])

    def _summary(self, batch: FakeBatch) -> dict[str, Any]:
        count = Counter(each["status"] for each in batch.ended.values())
        return {
            "id": batch.native_id,
            "status": batch.status,
            "requestTotal": len(batch.inputs),
            "requestInProgress": 0,
            "requestCompleted": count["COMPLETED"],
            "requestFailed": len(batch.ended) - count["COMPLETED"] - count["CANCELLED"],
            "createdAt": 1783584000000,
        }

    def _page(self, request: httpx.Request, batch: FakeBatch) -> httpx.Response:
        """List the requests, the last one first: RunPod promises no order here either."""
        offset, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        keys = list(reversed(batch.inputs))
        rows: list[dict[str, Any]] = []
        for key in keys[offset : offset + limit]:
            fields = batch.ended.get(key, {"status": "IN_QUEUE"})
            if batch.status == "DRAFT":
                fields = {"status": "DRAFT"}
                if self.shows_inputs:
                    fields["input"] = batch.inputs[key]
            rows.append({"id": key, **fields})
        more = offset + len(rows) < len(keys)
        return httpx.Response(200, json={"requests": rows, "hasMore": more})


def completed(output: Any) -> dict[str, Any]:
    """Return how a page shows a request that took two seconds."""
    return {
        "status": "COMPLETED",
        "output": output,
        "startedAt": "2026-07-09T09:15:00Z",
        "completedAt": "2026-07-09T09:15:02Z",
    }


def rows_of(count: int, **more: Any) -> list[Row]:
    """Return rows that ask for little."""
    return [Row(line, f"r{line}", {"row": f"r{line}", **more}) for line in range(1, count + 1)]


@dataclass
class Scene:
    """A batch, its ledger and its folder.

    Args:
        folder: Where everything goes.
        rows: Its rows.
        endpoint_id: Where it runs.
        root: The job API's root.
        api_key: The key.
        price_per_s_usd: What a second costs.
        clock: What waits.
        tally: The numbers of its last run.
        is_begun: Whether there was one before.
    """

    folder: Path
    rows: Sequence[Row]
    endpoint_id: str = ENDPOINT
    root: str = ROOT
    api_key: str = "rpa_key"
    price_per_s_usd: float = 0.5
    clock: QuickClock = field(default_factory=QuickClock)
    tally: Tally = field(default_factory=lambda: Tally(0))
    is_begun: bool = False

    @property
    def batch(self) -> Batch:
        """What stands in the ledger."""
        return Batch(
            batch_id="b1",
            identity="same",
            place=Place(self.root),
            endpoint_id=self.endpoint_id,
            preset=None,
            source=self.folder / "rows.jsonl",
            sha256="",
            total=len(self.rows),
            output_dir=self.folder / "out",
        )

    def ledger(self) -> Ledger:
        """Open the ledger."""
        return Ledger(self.folder / "ledger.sqlite3")

    async def run(
        self,
        limits: Limits | None = None,
        *,
        repeats: Callable[[Record], bool] = lambda _: False,
    ) -> Stop:
        """Run it, or the rest of it, as a command does."""
        self.tally = Tally(len(self.rows))
        async with AsyncExitStack() as stack:
            ledger = stack.enter_context(self.ledger())
            if not self.is_begun:
                ledger.batches.add(self.batch)
            file = stack.enter_context(ResultsFile(self.folder / "out" / RESULTS))
            take_stock(
                self.batch,
                file,
                ledger,
                self.tally,
                lambda record: record.state is State.NOT_SENT or repeats(record),
            )
            runner = await self._runner(stack, file, ledger, limits or Limits(), repeats)
            self.is_begun = True
            return await runner.run()

    async def _runner(
        self,
        stack: AsyncExitStack,
        file: ResultsFile,
        ledger: Ledger,
        limits: Limits,
        repeats: Callable[[Record], bool],
    ) -> NativeRunner:
        once = RetryPolicy(attempts=1)
        transport = Transport(self.root, self.api_key, retries=once)
        await stack.enter_async_context(transport)
        endpoint = Serverless(transport, self.endpoint_id)
        scribe = await stack.enter_async_context(Scribe(self.folder / "ledger.sqlite3"))
        lines = await stack.enter_async_context(InGroups(partial(_appended, file)))
        clock = self.clock
        patience = Patience(clock, 300.0)
        saving = Saving(self.folder / "out", "b1", _no_links, self.price_per_s_usd)
        saving.prepare()
        pace = Pace(Limit(None, 20), clock)
        tools = Tools(
            endpoint=endpoint,
            batches=NativeBatches(transport, self.endpoint_id),
            scribe=scribe,
            sending=Sending(self.batch, endpoint, scribe, pace, patience, self.tally),
            asking=Asking(endpoint, pace, 20, patience, self.tally, clock),
            homecoming=Homecoming(saving, lines, scribe, self.tally, lambda _: None),
            lost=lambda: LostJobs(ledger, endpoint),
            patience=patience,
            window=Window(),
            clock=clock,
        )
        return NativeRunner(
            Given(
                batch=self.batch,
                rows=lambda: iter(self.rows),
                tools=tools,
                limits=limits,
                tally=self.tally,
                is_begun=self.is_begun,
                repeats=repeats,
            )
        )

    @property
    def results(self) -> list[RowResult]:
        """What stands in the results' file."""
        return list(read_results(self.folder / "out" / RESULTS))

    def named(self) -> dict[str, str]:
        """Return each row's state by its name; each has one line."""
        counter = Counter(each.name for each in self.results)
        assert set(counter.values()) <= {1}
        return {each.name: each.state.value for each in self.results}


def _appended(file: ResultsFile, results: Sequence[RowResult]) -> list[None]:
    file.append(results)
    return [None] * len(results)


def _no_links() -> Any:
    """Return what fetches links; there are none."""
    return None
