"""How a running batch looks: drawn in place on a terminal, a line now and then in a pipe, or JSON.

Owns when something is said and where it stands on the screen. Reads a tally that changes under it,
in the thread of the event loop, and changes nothing in it. How a batch ends is `batch_summary.py`'s.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from runpodctl_py.cli.batch_meter import Allowed, Meter
from runpodctl_py.cli.batch_words import (
    cost_text,
    count_text,
    counted,
    duration_text,
    more_kinds_text,
    one_line,
    packed,
    rate_text,
    rows_text,
    workers_states,
)
from runpodctl_py.cli.job_view import HEARTBEAT_S
from runpodctl_py.clock import SystemClock

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType
    from rich.live import Live
    from rich.text import Text

    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.batch.troubles import Trouble
    from runpodctl_py.cli.batch_meter import Reading
    from runpodctl_py.cli.output import Output
    from runpodctl_py.clock import Clock

_EVERYTHING = Allowed()
_DRAWING_S = 0.25
_LOOK_S = 1.0
_INDENT = "  "
_LABEL_WIDTH = 9
_WIDEST_BAR = 30
_NARROWEST_BAR = 10
_BESIDE_THE_BAR = 90
"""What a line has to hold beside the bar, at most; it does not depend on the numbers, because the
bar would twitch whenever one gets a digit more."""
_ROOM_FOR_ROWS = 60
"""On a narrower terminal, the words of an error are worth more than its rows."""
_MOST_KINDS_DRAWN = 3
_MOST_KINDS_SAID = 20
_MOST_NAMES = 3


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
    tally: Tally,
    batch_id: str,
    *,
    allowed: Allowed = _EVERYTHING,
    clock: Clock | None = None,
) -> BatchView:
    """Return the view that fits the surroundings.

    Args:
        output: Where the batch is shown.
        tally: Its live numbers.
        batch_id: What a person types for it.
        allowed: What may stop it before its last row.
        clock: For measuring and waiting; the machine's, if not given.
    """
    clock = clock or SystemClock()
    if output.as_json:
        return JsonBatchView(output, tally, batch_id, allowed, clock)
    if output.is_quiet:
        return SilentBatchView(tally, allowed, clock)
    if output.draws:
        return TerminalBatchView(tally, allowed, clock)
    return PlainBatchView(output, tally, batch_id, allowed, clock)


class SilentBatchView(BatchView):
    """Shows nothing."""

    _interval_s = HEARTBEAT_S

    def tick(self) -> None:
        """Show nothing."""


class JsonBatchView(BatchView):
    """A JSON line now and then; those of rows and of the end are the caller's."""

    def __init__(
        self, output: Output, tally: Tally, batch_id: str, allowed: Allowed, clock: Clock
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
                "cost_usd": round(tally.cost_usd, 6),
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
        self, output: Output, tally: Tally, batch_id: str, allowed: Allowed, clock: Clock
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
            *_facts(tally, reading, self._allowed.max_cost_usd),
        ]
        if tally.unknown:
            facts.append(f"{count_text(len(tally.unknown))} unknown")
        if not tally.ended and tally.health is not None:
            facts.append(workers_states(tally.health).replace(" · ", ", "))
        return facts


class TerminalBatchView(BatchView):
    """A bar with the numbers, the workers and what went wrong, drawn in place."""

    _interval_s = _DRAWING_S

    def __init__(self, tally: Tally, allowed: Allowed, clock: Clock) -> None:
        super().__init__(tally, allowed, clock)
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

        self._live = Live(
            get_renderable=self._drawing,
            console=Console(file=sys.stderr),
            # From a thread of its own, it would read a tally that is being changed.
            auto_refresh=False,
            # What is printed meanwhile goes above; stdout may be somebody else's.
            redirect_stdout=False,
            transient=True,
        )
        self._live.start(refresh=True)

    def _end(self) -> None:
        with suppress(OSError):
            if self._live is not None:
                self._live.stop()

    def _drawing(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        columns, height = self._size
        lines = [
            *self._progress(columns),
            *self._workers(),
            *self._troubles(columns),
            *self._unknown(),
        ]
        # A terminal echoes Ctrl-C as two characters: on the empty line, which is cleared with the
        # others, they break none.
        return Group(*lines[: max(1, height - 1)], Text(""))

    @property
    def _size(self) -> tuple[int, int]:
        """How much may be drawn: the last column stays empty, because some terminals wrap there."""
        if self._live is None:
            return 79, 24
        return max(1, self._live.console.width - 1), self._live.console.height

    def _progress(self, columns: int) -> list[RenderableType]:
        tally = self._tally
        total = tally.total - tally.invalid
        count = f"{count_text(tally.ended)} of {count_text(total)}"
        facts = _facts(tally, self._meter.read(), self._allowed.max_cost_usd)
        if tally.failed:
            facts.insert(1, f"{count_text(tally.failed)} failed")
        width = min(columns - _BESIDE_THE_BAR, _WIDEST_BAR)
        if width >= _NARROWEST_BAR:
            first, *more = packed([count, *facts], "   ", _BESIDE_THE_BAR - len(_INDENT) - 3)
        else:
            # The longest this line gets: the bar keeps its width.
            longest = 2 * len(count_text(total)) + len(" of ")
            width = min(columns - len(_INDENT) - 3 - longest, _WIDEST_BAR)
            first, more = count, packed(facts, "   ", columns - len(_INDENT))
        return [self._bar(width, first), *(self._numbers(f"{_INDENT}{line}") for line in more)]

    def _bar(self, width: int, beside: str) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        if width < _NARROWEST_BAR:
            return self._numbers(f"{_INDENT}{beside}")
        bar = ProgressBar(
            # Of no rows at all, all have ended.
            total=max(1, self._tally.total - self._tally.invalid),
            completed=self._tally.ended,
            width=width,
            complete_style="green",
            finished_style="green",
        )
        grid = Table.grid(padding=(0, 3, 0, 0))
        grid.add_column(no_wrap=True, width=width)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(bar, self._numbers(beside))
        return _indented(grid)

    def _numbers(self, line: str) -> Text:
        text = _line(line)
        if self._tally.failed:
            text.highlight_words([f"{count_text(self._tally.failed)} failed"], "red")
        return text

    def _workers(self) -> list[RenderableType]:
        health = self._tally.health
        style = "yellow" if health is not None and not health.workers.running else "dim"
        return [_labelled("workers", workers_states(health), style)]

    def _troubles(self, columns: int) -> list[RenderableType]:
        from rich.text import Text

        kinds = self._tally.troubles.kinds[:_MOST_KINDS_DRAWN]
        if not kinds:
            return []
        counts = _aligned([Text(f"{count_text(each.count)}×") for each in kinds], columns)
        room = columns - len(_INDENT) - _LABEL_WIDTH - counts[0].cell_len - 1
        rows = [Text(f"   {rows_text(k.rows, k.count, _MOST_NAMES)}", "dim") for k in kinds]
        rows = _aligned(rows, room // 2) if columns >= _ROOM_FOR_ROWS else [Text("")] * len(kinds)
        messages = [Text(one_line(each.message)) for each in kinds]
        messages = _aligned(messages, room - rows[0].cell_len)
        parts = zip(counts, messages, rows, strict=True)
        texts = [Text.assemble(count, " ", message, row) for count, message, row in parts]
        if more := more_kinds_text(self._tally, len(kinds)):
            texts.append(Text(more, "dim"))
        labels = ["errors", *[""] * (len(texts) - 1)]
        return [Text(""), *map(_labelled, labels, texts, ["red", *labels[1:]])]

    def _unknown(self) -> list[RenderableType]:
        names = self._tally.unknown
        if not names:
            return []
        text = f"whether RunPod took {rows_text(names, len(names), _MOST_NAMES)}"
        return [_labelled("unknown", text, "yellow")]


def _facts(tally: Tally, reading: Reading, max_cost_usd: float | None) -> list[str]:
    """Return what a batch is doing, how fast, how long still, and for how much."""
    facts = [f"{count_text(tally.in_flight)} running"]
    if reading.rate_per_s is not None:
        facts.append(rate_text(reading.rate_per_s))
    if reading.eta_s is not None:
        facts.append(f"{duration_text(reading.eta_s)} left")
    cost = cost_text(tally, max_cost_usd)
    return facts if cost is None else [*facts, cost]


def _line(text: str) -> Text:
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def _labelled(label: str, text: str | Text, style: str) -> Text:
    line = _line(_INDENT)
    line.append(f"{label:<{_LABEL_WIDTH}}", style or None)
    # What is appended keeps its own colours.
    return line.append(text) if isinstance(text, str) else line.append_text(text)


def _aligned(texts: list[Text], widest: int) -> list[Text]:
    """Make texts equally wide: as wide as the longest, or as is allowed."""
    width = max(1, min(widest, max(each.cell_len for each in texts)))
    for each in texts:
        each.truncate(width, overflow="ellipsis", pad=True)
    return texts


def _indented(content: RenderableType) -> RenderableType:
    from rich.padding import Padding

    return Padding(content, (0, 0, 0, len(_INDENT)), expand=False)
