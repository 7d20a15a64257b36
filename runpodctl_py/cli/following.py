"""One job from the command line: sent, followed, saved, told.

Owns the order in which these happen, and what Ctrl-C and a time limit mean. `submit` and `watch`
call it; how a running job is drawn is `job_view.py`'s.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Self

from runpodctl_py.api.serverless import Serverless
from runpodctl_py.api.transport import Transport, download_client
from runpodctl_py.cli import result_view
from runpodctl_py.cli.buckets import link_fetcher
from runpodctl_py.cli.job_view import JobView, Place, job_view, queued_event
from runpodctl_py.cli.prices import endpoint_price_usd, preset_price_usd
from runpodctl_py.clock import SystemClock
from runpodctl_py.errors import (
    AnswerLostError,
    InterruptedRunError,
    JobFailedError,
    NotFoundError,
    RefusedError,
    ResultExpiredError,
    RunpodctlError,
    SaveError,
)
from runpodctl_py.jobs.buckets import place_in
from runpodctl_py.jobs.collect import Submission, Summary, collect, cost_usd, judge
from runpodctl_py.jobs.follow import PATIENCE_S, Event, Finished, Started, follow
from runpodctl_py.jobs.ledger import Intent, Ledger, State, short_id
from runpodctl_py.jobs.notes import Directly, Notes, sent
from runpodctl_py.jobs.save import check_folder
from runpodctl_py.jobs.streaming import Missed, Piece, hearing, with_pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from runpodctl_py.api.types import Job, JobRequest
    from runpodctl_py.cli.context import Context
    from runpodctl_py.cli.wish import Wish
    from runpodctl_py.errors import LedgerError
    from runpodctl_py.jobs.ledger import BucketPlace, Record
    from runpodctl_py.jsontypes import JsonValue


class Session:
    """A connection to one endpoint for the time of a command. Use it as an async context.

    Args:
        context: The command's surroundings.
        endpoint_id: Which endpoint.
        wish: What the person wants.
        name: What each line begins with, if several jobs are followed at once.
    """

    def __init__(
        self, context: Context, endpoint_id: str, wish: Wish, name: str | None = None
    ) -> None:
        settings = context.settings
        self._context = context
        self._wish = wish
        self._name = name
        self._transport = Transport(settings.endpoint_base_url, settings.api_key)
        self._endpoint = Serverless(self._transport, endpoint_id)
        self._place = Place(endpoint_id, wish.preset)
        self._clock = SystemClock()
        self._began_s = self._clock.now_s()
        self._price: asyncio.Task[float | None] | None = None
        self._heard: list[JsonValue] = []
        self._has_missed = False
        self._bucket: BucketPlace | None = None
        self._notes: Notes

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._price is not None:
            self._price.cancel()
        await self._transport.__aexit__(kind, error, traceback)

    async def send_and_leave(self, request: JobRequest) -> None:
        """Queue a job, and print its id and how to come back to it."""
        self.leave((await self._send(request, sync_wait_ms=None)).job_id)

    def leave(self, job_id: str) -> None:
        """Print the id of a job that goes on, and how to come back to it."""
        output = self._context.output
        if output.as_json:
            output.event(queued_event(job_id, self._place))
            return
        output.result(job_id)
        output.note()
        output.note(self._way_back(job_id))

    async def send_and_follow(self, request: JobRequest, *, sync_wait_ms: int | None) -> Summary:
        """Queue a job, follow it to its end, save its files and tell what came of it.

        Args:
            request: The job.
            sync_wait_ms: How long `/runsync` may hold the answer; None uses `/run`.

        Raises:
            RunpodctlError: What the exit code should tell.
        """
        submitted_at = datetime.now(UTC)
        if self._wish.saves:
            check_folder(self._directory)
        self._price = self._looking_up_price()
        with job_view(self._context.output, self._name) as view:
            job = await self._send(request, sync_wait_ms)
            view.submitted(job.job_id, self._place)
            finished = await self._until_final(view, job, was_seen=False)
        return await self._finish(finished, view, dict(request.payload), submitted_at)

    async def watch(self, job_id: str) -> None:
        """Follow a job that was sent before, as `send_and_follow` does."""
        self._price = self._looking_up_price()
        job = await self._endpoint.status(job_id)
        await self._take_up(job)
        with job_view(self._context.output, self._name) as view:
            view.submitted(job.job_id, self._place)
            finished = await self._until_final(view, job, was_seen=True)
        await self._finish(finished, view, *await self._notes.origin())

    async def retried(self, record: Record) -> bool:
        """Have RunPod run a job once more under its id; tell whether it could."""
        if record.job_id is None or record.state not in {State.FAILED, State.TIMED_OUT}:
            return False
        ledger = self._context.ledger
        self._notes = Notes(Directly(ledger), record.key, self._not_noted)
        ledger.repeating(record.key)
        try:
            job = await self._endpoint.retry(record.job_id)
        except (NotFoundError, RefusedError):
            ledger.not_repeated(record)
            return False
        except AnswerLostError as exc:
            exc.hint = "It may run, and be billed. Look:  runpodctl-py jobs sync"
            raise
        except RunpodctlError:
            ledger.not_repeated(record)
            raise
        ledger.begun_anew(record.key)
        if self._context.output.as_json:
            return True
        self._context.output.note(f"RunPod runs it once more: {job.job_id}")
        return True

    async def _send(self, request: JobRequest, sync_wait_ms: int | None) -> Job:
        intent = Intent(
            place=self._context.place,
            endpoint_id=self._place.endpoint_id,
            payload=dict(request.payload),
            preset=self._wish.preset,
            policy=request.policy,
            webhook=request.webhook,
            is_sync=sync_wait_ms is not None,
            output_dir=self._directory.absolute(),
            output_name=self._wish.output_name,
            returns_object=self._wish.returns_object,
            bucket=place_in(request.s3_config),
            parent=self._wish.parent,
        )
        send = partial(self._posted, request, sync_wait_ms)
        writer = Directly(self._context.ledger)
        self._bucket = intent.bucket
        job, self._notes = await sent(writer, intent, send, self._not_noted)
        return job

    async def _posted(self, request: JobRequest, sync_wait_ms: int | None) -> Job:
        try:
            if sync_wait_ms is None:
                return await self._endpoint.run(request)
            if self._wish.timeout_s is not None:
                sync_wait_ms = max(1_000, min(sync_wait_ms, round(self._wish.timeout_s * 1000)))
            return await self._endpoint.runsync(request, sync_wait_ms)
        except asyncio.CancelledError:
            raise InterruptedRunError(
                "Interrupted while the job was being sent: it may be queued, and billed",
                hint=f"Look:  runpodctl-py health {self._place.endpoint_id}{self._context.flags}",
            ) from None

    async def _take_up(self, job: Job) -> None:
        """Go on with the notes of a job that was sent before, or begin some."""
        context, endpoint_id = self._context, self._place.endpoint_id

        def find(ledger: Ledger) -> str:
            key = ledger.adopt(context.place, endpoint_id, job, preset=self._wish.preset)
            ledger.claim(key)
            self._bucket = ledger.record(key).intent.bucket
            return key

        notes = self._notes = await Notes.of(Directly(context.ledger), self._not_noted, find)
        await notes.attempt(lambda ledger: ledger.asked(notes.key, job))

    def _not_noted(self, error: LedgerError) -> None:
        self._context.output.warn(f"{error.message}. The job goes on, but is not written down.")

    async def _until_final(self, view: JobView, job: Job, *, was_seen: bool) -> Finished:
        """Show a job until it is final; whatever ends this sooner says how to come back."""
        try:
            async for event in self._events(job, was_seen=was_seen):
                if isinstance(event, Piece):
                    view.hear(event.value)
                    continue
                if isinstance(event, Missed):
                    self._has_missed = True
                    continue
                view.show(event)
                if isinstance(event, Started | Finished):
                    await self._notes.seen(event.job)
                if isinstance(event, Finished):
                    return replace(event, job=await with_pieces(self._endpoint, event.job, self))
        except asyncio.CancelledError:
            view.make_way()
            await self._interrupted(job.job_id)
        except ResultExpiredError:
            await self._notes.expired()
            raise
        except RunpodctlError as exc:
            exc.job_id = job.job_id
            exc.hint = "\n".join(filter(None, (exc.hint, self._way_back(job.job_id))))
            raise
        raise AssertionError  # pragma: no cover - following ends with Finished or raises

    def _events(self, job: Job, *, was_seen: bool) -> AsyncIterator[Event | Piece | Missed]:
        events = follow(
            self._endpoint,
            job,
            self._clock,
            timeout_s=self._wish.timeout_s,
            was_seen=was_seen,
            # A local RunPod that is gone does not come back by waiting.
            patience_s=0.0 if self._context.settings.is_local else PATIENCE_S,
        )
        if not self._wish.hears:
            return events
        return hearing(events, self._endpoint, job.job_id, self._clock, self)

    async def keep(self, pieces: Sequence[JsonValue]) -> None:
        """Keep what the job has streamed, whether or not the ledger works."""
        self._heard += pieces
        await self._notes.keep(pieces)

    async def known(self) -> Sequence[JsonValue]:
        """Return what it has streamed, to us or to others before."""
        known = await self._notes.known()
        return known if len(known) > len(self._heard) else self._heard

    async def _finish(
        self,
        finished: Finished,
        view: JobView,
        payload: JsonValue,
        submitted_at: datetime | None,
    ) -> Summary:
        """Save a final job's files and tell what came of it."""
        job = finished.job
        price = await self._known_price()
        submission = Submission(
            self._place.endpoint_id,
            payload,
            self._place.preset,
            submitted_at,
            price,
            self._wish.returns_object,
            self._wish.output_name,
        )
        try:
            summary = await self._summary(job, submission)
        except asyncio.CancelledError:
            raise InterruptedRunError(
                f"Interrupted while saving. The job is {job.status.value}; its result is kept "
                "for a while.",
                hint=f"Fetch it:  {self._again('watch', job.job_id)}",
                job_id=job.job_id,
            ) from None
        await self._notes.home(summary, is_wanted=self._wish.saves)
        self._tell(summary, self._clock.now_s() - self._began_s, has_told=self._has_told(view))
        return summary

    async def _summary(self, job: Job, submission: Submission) -> Summary:
        if not self._wish.saves:
            cost = cost_usd(job, submission.price_per_s_usd)
            return Summary(
                job,
                error=judge(job, returns_object=self._wish.returns_object),
                cost_usd=cost,
                output=job.output,
            )
        summary = await self._collected(job, submission)
        if self._wish.expects_files and summary.error is None and not summary.files:
            none = SaveError("The job completed, but returned no file", job_id=job.job_id)
            return replace(summary, error=none)
        return summary

    async def _collected(self, job: Job, submission: Submission) -> Summary:
        server = None if self._bucket is None else self._bucket.endpoint_url
        async with download_client() as client:
            fetcher = link_fetcher(client, self._context.settings, server)
            return await collect(job, submission, self._directory, fetcher)

    @property
    def _directory(self) -> Path:
        return self._wish.output_dir or self._context.settings.output_folder

    def _has_told(self, view: JobView) -> bool:
        """Tell whether the output was printed as it came, all of it."""
        if view.has_told and self._has_missed:
            self._context.output.warn("Some of it may not have been printed. All that there is:")
        return view.has_told and not self._has_missed

    def _tell(self, summary: Summary, elapsed_s: float, *, has_told: bool) -> None:
        view = result_view.ResultView(
            self._context,
            self._place.endpoint_id,
            saves=self._wish.saves,
            name=self._name,
            has_told=has_told,
        )
        view.show(summary, elapsed_s)
        error = summary.error
        if error is None:
            return
        more = None
        if isinstance(error, SaveError):
            again = self._again("watch", summary.job.job_id)
            more = f"Fetch it again, while RunPod has it:  {again} --output-dir DIR"
        elif isinstance(error, JobFailedError) and error.traceback:
            if self._wish.is_verbose:
                self._context.output.note(error.traceback.rstrip(), style="dim")
            else:
                more = f"Traceback:  {self._again('status', summary.job.job_id)} --verbose"
        elif isinstance(error, JobFailedError) and self._context.settings.is_local:
            more = f"What it printed:  runpodctl-py local logs --job {summary.job.job_id}"
        error.hint = "\n".join(filter(None, (error.hint, more))) or None
        raise error

    def _again(self, command: str, job_id: str) -> str:
        if self._notes.is_broken:
            where = f" --endpoint {self._place.endpoint_id}{self._context.flags}"
            return f"runpodctl-py {command} {job_id}{where}"
        return f"runpodctl-py {command} {short_id(job_id)}{self._context.file_flags}"

    @property
    def _what_becomes_of_it(self) -> str:
        if self._context.stops_local:
            return "The job waits until the local RunPod runs again."
        if self._context.settings.is_local:
            return "The job goes on."
        return "The job goes on (and is billed)."

    def _way_back(self, job_id: str) -> str:
        lines = [
            f"Go on:      {self._again('stream', job_id)}"
            if self._wish.hears
            else f"Watch it:   {self._again('watch', job_id)}",
            f"Cancel it:  {self._again('cancel', job_id)}",
        ]
        if self._context.stops_local:
            lines.append("The local RunPod stops with this command; watching starts it again.")
        else:
            lines.append("Its result is kept for 30 minutes after it ends.")
        return "\n".join(lines)

    async def _interrupted(self, job_id: str) -> NoReturn:
        """Detach from the job, or cancel it if that was asked for."""
        if not self._wish.cancels_on_interrupt:
            detached = InterruptedRunError(
                f"Detached. {self._what_becomes_of_it}", hint=self._way_back(job_id), job_id=job_id
            )
            if self._name is None:
                # At once: a second Ctrl-C would leave without these words.
                self._context.output.error(detached)
                detached.was_told = True
            raise detached from None
        try:
            await self._notes.seen(await self._endpoint.cancel(job_id))
        except RunpodctlError as exc:
            raise InterruptedRunError(
                f"Interrupted, but the job could not be cancelled: {exc.message}",
                hint=self._way_back(job_id),
                job_id=job_id,
            ) from exc
        raise InterruptedRunError("Interrupted; the job is cancelled.", job_id=job_id) from None

    def _looking_up_price(self) -> asyncio.Task[float | None]:
        asked = endpoint_price_usd(self._context.settings, self._place.endpoint_id)
        return asyncio.create_task(asked)

    async def _known_price(self) -> float | None:
        """Return the price if it is there; a job's end does not wait for it."""
        if self._context.settings.is_local:
            return 0.0
        if self._price is None or not self._price.done() or self._price.cancelled():
            return preset_price_usd(self._wish.preset)
        if self._price.exception() is not None:
            # Some API keys may use an endpoint and not read the account.
            return preset_price_usd(self._wish.preset)
        return self._price.result()
