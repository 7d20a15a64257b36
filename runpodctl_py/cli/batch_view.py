"""How a running batch looks: drawn in place on a terminal, a line now and then in a pipe, or JSON.

Owns when something is shown, and to whom. Reads a tally that changes under it, in the thread of the
event loop, and changes nothing in it. Where things stand on a screen is `batch_drawing.py`'s, and
how a batch ends `batch_summary.py`'s.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from runpodctl_py.cli.batch_drawing import drawing
from runpodctl_py.cli.batch_meter import Allowed, Meter, known_cost_usd
from runpodctl_py.cli.batch_words import (
    BETWEEN,
    count_text,
    counted,
    duration_text,
    facts_of,
    one_line,
    rows_text,
    workers_states,
)
from runpodctl_py.cli.job_view import HEARTBEAT_S

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, RenderableType
    from rich.live import Live

    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.batch.troubles import Trouble
    from runpodctl_py.cli.batch_meter import Reading
    from runpodctl_py.cli.output import Output
    from runpodctl_py.clock import Clock

_DRAWING_S = 0.5
_LOOK_S = 1.0
_MOST_KINDS_SAID = 20


class BatchView(ABC):
    """Something that shows a batch. A context: what it drew is gone after it.

    Args:
        tally: The batch's live numbers; they are only read.
        allowed: What may stop the batch before its last row.
        clock: For measuring and waiting.
    """

    _interval_s = _LOOK_S

    def __init__(self, tally: Tally, allowed: Allowed, clock: Clock) -> None:
        self._tally = tally
        self._allowed = allowed
        self._clock = clock
        self._meter = Meter(tally, allowed, clock.now_s)
        self._said_s = clock.now_s()

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    async def keep(self) -> None:
        """Show what is new, until this is cancelled: a task beside the batch."""
        while True:
            await self._clock.sleep(self._interval_s)
            self.tick()

    @abstractmethod
    def tick(self) -> None:
        """Show what is new, if it is time to."""

    def _begin(self) -> None:  # noqa: B027 - not every view has something to say at its beginning.
        pass

    def _end(self) -> None:  # noqa: B027 - nor anything to clear away.
        pass

    def _is_due(self) -> bool:
        """Tell whether a line is to be said again; if so, the next one is due a heartbeat later."""
        passed_s = self._clock.now_s() - self._said_s
        if passed_s < HEARTBEAT_S:
            return False
        # In step with the beginning, however late this is called.
        self._said_s += passed_s - passed_s % HEARTBEAT_S
        return True


def batch_view(
    output: Output,
    batch_id: str,
    tally: Tally,
    *,
    clock: Clock,
    max_cost_usd: float | None = None,
    limit: int | None = None,
) -> BatchView:
    """Return the view that fits the surroundings.

    Args:
        output: Where the batch is shown.
        batch_id: What a person types for it.
        tally: Its live numbers.
        clock: For measuring and waiting.
        max_cost_usd: What it may cost; said beside what it has cost.
        limit: The most rows that this run sends.
    """
    allowed = Allowed(max_cost_usd, limit)
    if output.as_json:
        return JsonBatchView(output, batch_id, tally, allowed, clock)
    if output.is_quiet:
        return SilentBatchView(tally, allowed, clock)
    if output.draws:
        return TerminalBatchView(tally, allowed, clock)
    return PlainBatchView(output, batch_id, tally, allowed, clock)


class SilentBatchView(BatchView):
    """Shows nothing."""

    _interval_s = HEARTBEAT_S

    def tick(self) -> None:
        """Show nothing."""


class JsonBatchView(BatchView):
    """A JSON line now and then; those of rows and of the end are the caller's."""

    def __init__(
        self, output: Output, batch_id: str, tally: Tally, allowed: Allowed, clock: Clock
    ) -> None:
        super().__init__(tally, allowed, clock)
        self._output = output
        self._batch_id = batch_id

    def tick(self) -> None:
        """Print a `progress` event when one is due; its keys are a promise to scripts."""
        reading = self._meter.read()
        if not self._is_due():
            return
        tally = self._tally
        self._output.event(
            {
                "event": "progress",
                "id": self._batch_id,
                "elapsed_s": round(reading.elapsed_s, 3),
                "ended": tally.ended,
                "succeeded": tally.succeeded,
                "failed": tally.failed,
                "running": tally.in_flight,
                "unknown": len(tally.unknown),
                "left": tally.left,
                "rate_per_s": None if reading.rate_per_s is None else round(reading.rate_per_s, 3),
                "eta_s": None if reading.eta_s is None else round(reading.eta_s, 1),
                "cost_usd": known_cost_usd(tally),
            }
        )

    def _begin(self) -> None:
        tally = self._tally
        self._output.event(
            {
                "event": "batch",
                "id": self._batch_id,
                "total": tally.total,
                "invalid": tally.invalid,
                "ended": tally.ended,
                "max_cost_usd": self._allowed.max_cost_usd,
                "limit": self._allowed.rows,
            }
        )


class PlainBatchView(BatchView):
    """A plain line now and then, and one for each new kind of error."""

    def __init__(
        self, output: Output, batch_id: str, tally: Tally, allowed: Allowed, clock: Clock
    ) -> None:
        super().__init__(tally, allowed, clock)
        self._output = output
        self._batch_id = batch_id
        # By their samples, which do not change when more of the kind come.
        self._said_kinds: set[str] = set()

    def tick(self) -> None:
        """Say what is new, and a line with all numbers when one is due."""
        reading = self._meter.read()
        for kind in self._tally.troubles.kinds:
            if kind.sample not in self._said_kinds:
                self._say_kind(reading, kind)
        if self._is_due():
            self._say(reading, ", ".join(self._facts(reading)))

    def _begin(self) -> None:
        rows = counted(self._tally.total - self._tally.invalid, "row")
        before = self._tally.ended
        done = f", {count_text(before)} done before" if before else ""
        self._say(self._meter.read(), f"batch {self._batch_id}: {rows}{done}")

    def _say(self, reading: Reading, text: str) -> None:
        self._output.note(f"{duration_text(reading.elapsed_s):>11}   {text}")

    def _say_kind(self, reading: Reading, kind: Trouble) -> None:
        if len(self._said_kinds) >= _MOST_KINDS_SAID:
            return
        self._said_kinds.add(kind.sample)
        row = f" ({rows_text(kind.rows, 1, 1)})" if kind.rows else ""
        self._say(reading, f"error: {one_line(kind.sample)}{row}")
        if len(self._said_kinds) == _MOST_KINDS_SAID:
            self._say(reading, "further kinds of errors are not said here")

    def _facts(self, reading: Reading) -> list[str]:
        tally = self._tally
        total = count_text(tally.total - tally.invalid)
        facts = [
            f"{count_text(tally.succeeded)} of {total} done",
            f"{count_text(tally.failed)} failed",
            *facts_of(tally, reading, self._allowed.max_cost_usd),
        ]
        if tally.unknown:
            facts.append(f"{count_text(len(tally.unknown))} unknown")
        if not tally.ended and tally.health is not None:
            facts.append(workers_states(tally.health).replace(BETWEEN, ", "))
        return facts


class TerminalBatchView(BatchView):
    """A bar with the numbers, the workers and what went wrong, drawn in place."""

    _interval_s = _DRAWING_S

    def __init__(self, tally: Tally, allowed: Allowed, clock: Clock) -> None:
        super().__init__(tally, allowed, clock)
        self._console: Console
        self._live: Live | None = None

    def tick(self) -> None:
        """Draw it anew."""
        # A terminal that was closed is no reason to end a batch.
        with suppress(OSError):
            if self._live is not None:
                self._live.refresh()

    def _begin(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=sys.stderr)
        self._live = Live(
            get_renderable=self._drawing,
            console=self._console,
            # From a thread of its own, it would read a tally that is being changed.
            auto_refresh=False,
            # What is printed meanwhile goes above; stdout may be somebody else's.
            redirect_stdout=False,
            transient=True,
        )
        self._live.start(refresh=True)

    def _end(self) -> None:
        live, self._live = self._live, None
        with suppress(OSError):
            if live is not None:
                live.stop()

    def _drawing(self) -> RenderableType:
        from rich.console import Group
        from rich.constrain import Constrain
        from rich.text import Text

        # The last column stays empty: some terminals wrap there.
        columns = max(1, self._console.width - 1)
        lines = drawing(self._tally, self._meter.read(), self._allowed.max_cost_usd, columns)
        # A terminal echoes Ctrl-C as two characters: on the empty line, which is cleared with the
        # others, they break none.
        lines = [*lines[: max(1, self._console.height - 1)], Text("")]
        return Constrain(Group(*lines), columns)
