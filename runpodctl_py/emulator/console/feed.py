"""What the console shows, live: server-sent events, sent when something has changed.

While nobody watches, nothing is done. The overview is made once for all who watch; what is sent of
a job is made for each stream, which then rests twenty times as long as that took. Every stream
ends when the emulator stops.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from runpodctl_py.emulator import json_text
from runpodctl_py.emulator.bells import CHANGES, TIME
from runpodctl_py.emulator.console.overview import SharedOverview, pause_after
from runpodctl_py.emulator.errors import JobApiError, bad_request
from runpodctl_py.emulator.workers import log_stream, logs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.console.view import View
    from runpodctl_py.emulator.jobs.job import Job
    from runpodctl_py.emulator.lab.passage import Passage
    from runpodctl_py.emulator.state import State

_SSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_STILL_THERE_S = 15.0
_STILL_THERE = ": still there\n\n"
_FIRST_LINES = 500
"""How much of a log is sent that was there before."""
_ID = re.compile(r"[a-z0-9]{1,64}", re.ASCII)


class Feed:
    """The streams of the console.

    Args:
        state: What there is.
        view: What of it is shown.
        passage: What time it is there.
        bells: Tell that something has changed.
        clock: That time.
        logs_folder: Where the workers' logs are.
    """

    def __init__(
        self,
        state: State,
        view: View,
        passage: Passage,
        bells: Bells,
        clock: Clock,
        *,
        logs_folder: Path,
    ) -> None:
        self._state = state
        self._view = view
        self._passage = passage
        self._bells = bells
        self._clock = clock
        self._logs_folder = logs_folder
        self._overview = SharedOverview(lambda: json_text.dump(view.overview()), bells)

    async def overview(self, _request: Request) -> Response:
        """GET /_local/console/events: everything at a glance, anew whenever it has changed."""
        return _stream(self._overviews())

    async def job(self, request: Request) -> Response:
        """GET /_local/console/jobs/{endpoint_id}/{job_id}/events: a job, whenever it changed.

        The last event is `gone` when the job is forgotten, its result with it.
        """
        params = request.path_params
        return _stream(self._job(self._state.job(params["endpoint_id"], params["job_id"])))

    async def log(self, request: Request) -> Response:
        """GET /_local/console/workers/{worker_id}/log: what it wrote last, and writes.

        The first event is `earlier` when it wrote more than is sent. A worker may be gone, as
        long as its log is there.
        """
        worker_id = request.path_params["worker_id"]
        if not _ID.fullmatch(worker_id):
            raise bad_request("that is no worker's id")
        path = self._log_of(worker_id)
        lines = log_stream.of(path, None, _FIRST_LINES)
        return _stream(_log_events(log_stream.until_stopped(lines, self._bells), path()))

    def _log_of(self, worker_id: str) -> Callable[[], Path | None]:
        """Returns what finds a worker's log: one that waits for room has none yet."""
        if (worker := self._state.fleet.workers.get(worker_id)) is not None:
            return lambda: worker.log_path
        if (path := next(self._logs_folder.glob(f"*/{worker_id}.log"), None)) is not None:
            return lambda: path
        raise JobApiError(HTTPStatus.NOT_FOUND, f"there is no worker {worker_id}, and no log of it")

    async def _overviews(self) -> AsyncGenerator[str, None]:
        shared, known, sent = self._overview, None, None
        with self._bells.listen_to_all() as bell:
            while not self._bells.closed:
                bell.clear()
                # One that another stream has had made meanwhile is as good.
                if known == shared.made:
                    await self._rest(shared.pause_left_s())
                text, known = shared.text(), shared.made
                reading = self._passage.read()
                # Of the two, the one that stands still as long as nobody moves the clock.
                moved = round(reading.now if reading.frozen else reading.ahead_s, 1)
                if (moved, reading.frozen, text) != sent:
                    sent = moved, reading.frozen, text
                    clock = {"now": reading.now, "ahead": reading.ahead_s, "frozen": reading.frozen}
                    yield f'data: {{"clock":{json_text.dump(clock)},"shown":{text}}}\n\n'
                while shared.is_current and not await _rung(bell, _STILL_THERE_S):
                    yield _STILL_THERE

    async def _job(self, job: Job) -> AsyncGenerator[str, None]:
        sent = None
        with self._bells.listen(job.id, TIME, CHANGES) as bell:
            while not self._bells.closed:
                bell.clear()
                began = time.perf_counter()
                outline = self._state.jobs.outline(job.id)
                if outline is None or outline.forgotten_at <= self._clock.now():
                    yield "event: gone\ndata: {}\n\n"
                    return
                if outline != sent:
                    sent = outline
                    whole = self._state.job(job.endpoint_id, job.id)
                    text = json_text.dump(self._view.job(whole))
                    took_s = time.perf_counter() - began
                    yield f"data: {text}\n\n"
                    await self._rest(pause_after(took_s))
                left_s = self._clock.real_s(outline.forgotten_at - self._clock.now())
                wait_s = min(each for each in (left_s, _STILL_THERE_S) if each is not None)
                if not await _rung(bell, wait_s):
                    yield _STILL_THERE

    async def _rest(self, seconds: float) -> None:
        """Leaves the time to the others for a while, unless the emulator stops."""
        with self._bells.listen_to_end() as end:
            await _rung(end, seconds)


async def _log_events(
    lines: AsyncGenerator[logs.LogLine, None], log: Path | None
) -> AsyncGenerator[str, None]:
    if log is not None and len(logs.read_tail(log, _FIRST_LINES + 1)) > _FIRST_LINES:
        yield "event: earlier\ndata: {}\n\n"
    async with aclosing(lines):
        async for line in lines:
            yield f"data: {json_text.dump(_line(line))}\n\n"


def _line(line: logs.LogLine) -> dict[str, Any]:
    message = logs.message_of(line.text)
    if message is None:
        # Of a progress bar only what it said last.
        return {"time": line.time, "text": line.text.rstrip("\r").rpartition("\r")[2]}
    return {
        "time": line.time,
        "text": message.text,
        "level": message.level,
        "jobId": message.job_id,
    }


def _stream(events: AsyncGenerator[str, None]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers=_SSE_HEADERS)


async def _rung(bell: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await bell.wait()
    return False
