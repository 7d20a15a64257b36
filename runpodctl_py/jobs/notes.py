"""Writing one job down as it goes on, in the order that loses nothing.

The intent is kept before anything is sent; if that fails, nothing is sent. After that the job
exists, and trouble with the ledger is told, once, but never ends the following of a job.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from runpodctl_py.errors import (
    AnswerLostError,
    InterruptedRunError,
    LedgerError,
    RunpodctlError,
)
from runpodctl_py.jobs.ledger import Home, KeptFile, Ledger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from runpodctl_py.api.types import Job
    from runpodctl_py.jobs.collect import Summary
    from runpodctl_py.jobs.ledger import Intent
    from runpodctl_py.jsontypes import JsonValue

    Tell = Callable[[LedgerError], None]

_Result = TypeVar("_Result")


class Writer(Protocol):
    """Something that takes steps in a ledger, such as a `Scribe`."""

    async def write(self, step: Callable[[Ledger], _Result]) -> _Result:
        """Take a step, and return when it is committed.

        Raises:
            LedgerError: It could not be written down.
        """


@dataclass(frozen=True, slots=True)
class Directly:
    """Takes each step at once and by itself; the event loop waits for the disk."""

    ledger: Ledger

    async def write(self, step: Callable[[Ledger], _Result]) -> _Result:
        """Take a step."""
        return step(self.ledger)


@dataclass(frozen=True, slots=True)
class PiecesOf:
    """What one job has streamed, as it is written down: `streaming.Heard`.

    Args:
        writer: Where.
        key: The job's name there.
    """

    writer: Writer
    key: str

    async def known(self) -> Sequence[JsonValue]:
        """Return all of it.

        Raises:
            LedgerError: It cannot be read.
        """
        return await self.writer.write(lambda ledger: ledger.pieces(self.key))

    async def keep(self, pieces: Sequence[JsonValue]) -> None:
        """Write down what has just arrived.

        Raises:
            LedgerError: That is not possible.
        """
        await self.writer.write(lambda ledger: ledger.heard(self.key, pieces))


@dataclass(slots=True)
class Notes:
    """What is written down of one job.

    Args:
        writer: Where.
        key: The job's name there.
        tell: Told the first time the ledger fails; the job goes on.
        is_broken: Whether the ledger has failed: what is written down is not up to date.
    """

    writer: Writer
    key: str
    tell: Tell
    is_broken: bool = field(default=False, init=False)

    @classmethod
    async def of(cls, writer: Writer, tell: Tell, find: Callable[[Ledger], str]) -> Self:
        """Return the notes of a job that exists already, whatever the ledger says to it."""
        notes = cls(writer, "", tell)
        try:
            notes.key = await writer.write(find)
        except LedgerError as exc:
            notes._break(exc)
        return notes

    async def seen(self, job: Job) -> None:
        """Note how RunPod says that it stands."""
        await self.attempt(lambda ledger: ledger.seen(self.key, job))

    async def keep(self, pieces: Sequence[JsonValue]) -> None:
        """Note what it has streamed."""
        await self.attempt(lambda ledger: ledger.heard(self.key, pieces))

    async def known(self) -> tuple[JsonValue, ...]:
        """Return what it has streamed so far, also to others; nothing if the ledger fails."""
        found: list[JsonValue] = []
        await self.attempt(lambda ledger: found.extend(ledger.pieces(self.key)))
        return tuple(found)

    async def origin(self) -> tuple[JsonValue, datetime | None]:
        """Return what the job was sent, and when, as far as that is written down."""
        found: list[tuple[JsonValue, datetime]] = []

        def look(ledger: Ledger) -> None:
            if (payload := ledger.payload(self.key)) is not None:
                sent_at = ledger.record(self.key).created_at
                found.append((payload, datetime.fromtimestamp(sent_at, UTC)))

        await self.attempt(look)
        return found[0] if found else (None, None)

    async def expired(self) -> None:
        """Note that RunPod does not know it any more."""
        await self.attempt(lambda ledger: ledger.expired(self.key))

    async def home(self, summary: Summary, *, is_wanted: bool = True) -> None:
        """Note what of it is on our disk.

        Args:
            summary: What was saved.
            is_wanted: Whether files were to be saved; if not, nothing is left to be fetched.
        """
        home = home_of(summary, is_wanted=is_wanted)
        await self.attempt(lambda ledger: ledger.home(self.key, home))

    async def attempt(self, step: Callable[[Ledger], None]) -> None:
        """Write some news of the job down, as far as the ledger works."""
        if self.is_broken:
            return
        try:
            await self.writer.write(step)
        except LedgerError as exc:
            self._break(exc)

    def _break(self, error: LedgerError) -> None:
        self.is_broken = True
        self.tell(error)


async def sent(
    writer: Writer, intent: Intent, send: Callable[[], Awaitable[Job]], tell: Tell
) -> tuple[Job, Notes]:
    """Write a job down, send it, and write down what became of that.

    Args:
        writer: Where it is written down.
        intent: What is sent, and where to.
        send: Sends it.
        tell: Told if the ledger fails after it was sent.

    Raises:
        LedgerError: It could not be written down; nothing was sent.
        RunpodctlError: What `send` raises.
    """
    notes = Notes(writer, await writer.write(lambda ledger: ledger.intend(intent)), tell)
    try:
        job = await send()
    except asyncio.CancelledError:
        why = "interrupted while it was being sent"
        await notes.attempt(lambda ledger: ledger.unknown(notes.key, why))
        raise
    except (AnswerLostError, InterruptedRunError) as exc:
        why = exc.message
        await notes.attempt(lambda ledger: ledger.unknown(notes.key, why))
        exc.hint = "\n".join(filter(None, (exc.hint, "Look for it:  runpodctl-py jobs sync")))
        raise
    except RunpodctlError as exc:
        why = exc.message
        await notes.attempt(lambda ledger: ledger.not_sent(notes.key, why))
        raise
    await notes.attempt(lambda ledger: ledger.sent(notes.key, job))
    return job, notes


def home_of(summary: Summary, *, is_wanted: bool = True) -> Home:
    """Return what the ledger keeps of a summary."""
    return Home(
        files=tuple(
            KeptFile(each.path.absolute(), each.size_bytes, each.sha256, each.content_type)
            for each in summary.files
        ),
        output=summary.output,
        cost_usd=summary.cost_usd,
        error=summary.error.message if summary.error else None,
        worker_error=summary.job.error,
        is_whole=not is_wanted or summary.is_whole,
        keeps_pieces=not (is_wanted and summary.is_whole),
    )
