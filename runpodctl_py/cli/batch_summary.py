"""How a batch that has ended looks: its numbers, what went wrong, what to do next.

Owns the last lines, and the last document for scripts. What a batch comes to is counted in
`batch/`; the exit code and the error that goes with it are the caller's.
"""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from runpodctl_py.cli.batch_words import (
    count_text,
    counted,
    duration_text,
    money_text,
    more_kinds_text,
    one_line,
    packed,
    rate_text,
    rows_text,
)
from runpodctl_py.cli.output import is_terminal, seconds_text

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.batch.summary import Percentiles
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.cli.output import Output
    from runpodctl_py.jsontypes import JsonObject, JsonValue

_FILES = ("results.csv", "results.jsonl")
_MOST_KINDS = 5
_MOST_NAMES = 10
_RESERVE = 1.1
_GAP = 6


class Ending(StrEnum):
    """Why a batch sends nothing more; the words are a promise to scripts."""

    DONE = "done"
    """Every row was sent."""
    COST = "cost"
    """What it may cost is reached."""
    LIMIT = "limit"
    """As many rows as were asked for have been sent."""
    CANCELLED = "cancelled"
    """`batch cancel` was called."""
    INTERRUPTED = "interrupted"
    """The person pressed Ctrl-C."""


_STOPPED = {
    Ending.COST: "stopped at what it may cost",
    Ending.CANCELLED: "cancelled",
    Ending.INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of a batch, or of what was done of it this time.

    Args:
        batch_id: What a person types for it.
        ending: Why nothing more is sent.
        tally: The numbers.
        elapsed_s: How long it took this time.
    """

    batch_id: str
    ending: Ending
    tally: Tally
    elapsed_s: float

    @property
    def rate_per_s(self) -> float:
        """How many rows ended in a second, this time."""
        return (self.tally.ended - self.tally.kept) / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def unsettled(self) -> int:
        """How many rows have no result, those aside of which nobody knows."""
        return max(0, self.tally.left - len(self.tally.unknown))


def summary_document(end: End) -> JsonObject:
    """Return the last event of a stream; its keys are a promise to scripts."""
    tally = end.tally
    statistics = tally.statistics.as_json()
    unknown_rows: list[JsonValue] = [*tally.unknown]
    is_price_known = tally.statistics.cost_usd is not None or tally.cost_usd > 0
    return {
        "event": "finished",
        "id": end.batch_id,
        "stop": end.ending.value,
        "total": tally.total,
        "invalid": tally.invalid,
        "kept": tally.kept,
        "ended": tally.ended,
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "running": tally.in_flight,
        "unknown": len(tally.unknown),
        "left": tally.left,
        "sent": tally.sent,
        "repeated": tally.repeated,
        "rate_limited": tally.limited,
        "elapsed_s": round(end.elapsed_s, 3),
        "rate_per_s": round(end.rate_per_s, 3),
        "cost_usd": round(tally.cost_usd, 6) if is_price_known else None,
        **{
            key: statistics[key]
            for key in ("states", "delay_ms", "execution_ms", "total_ms", "files", "bytes")
        },
        "troubles": tally.troubles.as_json(),
        "other_troubles": tally.troubles.others,
        "unknown_rows": unknown_rows,
    }


def show_summary(
    output: Output,
    end: End,
    directory: Path,
    *,
    max_cost_usd: float | None = None,
    flags: str = "",
) -> None:
    """Say what came of a batch; on stdout, the path of its results.csv and nothing else.

    Args:
        output: Where it is said. Nothing is, in JSON: the document is the caller's.
        end: The end.
        directory: Where the batch's files are.
        max_cost_usd: What the batch was allowed to cost.
        flags: What to add to a command that is suggested, so that it means the same place.
    """
    if output.as_json:
        return
    paths = [directory / name for name in _FILES if (directory / name).is_file()]
    # On a terminal, a person reads both streams, and needs the path once.
    if not (output.draws and sys.stdout.isatty()):
        for path in paths[:1]:
            output.result(str(path))
    if output.is_quiet:
        return
    _Talk(output, end, max_cost_usd, flags).say(paths)


class _Talk:
    """What is said to a person about the end of a batch."""

    def __init__(self, output: Output, end: End, max_cost_usd: float | None, flags: str) -> None:
        self._output = output
        self._end = end
        self._tally = end.tally
        self._max_cost_usd = max_cost_usd
        self._flags = flags
        self._columns = shutil.get_terminal_size().columns if is_terminal(sys.stderr) else None

    def say(self, paths: list[Path]) -> None:
        say_head = self._output.warn if self._is_bad else self._output.done
        beside = [" · ".join(map(str, paths)), self._retry_text]
        # The mark and a space stand before the head, and an indent before the rest.
        head, facts = self._head, " · ".join(self._facts)
        width = max(len(head), len(facts)) + _GAP
        if self._columns and 2 + width + max(map(len, beside)) < self._columns:
            say_head(f"{head:<{width}}{beside[0]}".rstrip())
            self._output.note(f"  {facts:<{width}}{beside[1]}".rstrip(), style="dim")
        else:
            say_head(head)
            for line in packed(self._facts, " · ", (self._columns or 1000) - 3):
                self._output.note(f"  {line}", style="dim")
            for line in filter(None, beside):
                self._output.note(f"  {line}")
        self._say_troubles()
        self._say_unknown()
        self._say_left()

    @property
    def _is_bad(self) -> bool:
        return self._end.ending in _STOPPED or not (self._tally.succeeded or self._is_empty)

    @property
    def _is_empty(self) -> bool:
        return self._tally.total == self._tally.invalid

    @property
    def _head(self) -> str:
        tally = self._tally
        total = count_text(tally.total - tally.invalid)
        parts = [f"{count_text(tally.succeeded)} of {total} done"]
        if tally.failed:
            parts.append(f"{count_text(tally.failed)} failed")
        if tally.invalid:
            parts.append(f"{counted(tally.invalid, 'invalid row')} left out")
        if tally.kept and tally.kept == tally.ended:
            parts.append("all of them before")
        elif tally.kept:
            parts.append(f"{count_text(tally.kept)} of them before")
        stopped = _STOPPED.get(self._end.ending)
        return ", ".join(parts) + (f": {stopped}" if stopped else "")

    @property
    def _facts(self) -> list[str]:
        tally = self._tally
        statistics = tally.statistics
        facts = [duration_text(self._end.elapsed_s)]
        if times := statistics.executions.percentiles():
            facts.append(f"{_percentiles_text(times)} per job")
        if times := statistics.delays.percentiles():
            facts.append(f"queue {_percentiles_text(times)}")
        if self._end.rate_per_s:
            facts.append(rate_text(self._end.rate_per_s))
        if tally.cost_usd > 0:
            cap = "" if self._max_cost_usd is None else f" of {money_text(self._max_cost_usd)}"
            facts.append(f"{money_text(tally.cost_usd)}{cap}")
        return facts

    @property
    def _retry_text(self) -> str:
        failed = self._tally.failed
        if not failed:
            return ""
        ones = "one" if failed == 1 else "ones"
        return f"again with the failed {ones}:  {self._command('retry', '--failed')}"

    def _command(self, verb: str, option: str = "") -> str:
        words = f"runpodctl-py batch {verb} {self._end.batch_id} {option}"
        return f"{words.rstrip()}{self._flags}"

    def _say_troubles(self) -> None:
        kinds = self._tally.troubles.kinds[:_MOST_KINDS]
        if not kinds:
            return
        self._output.note()
        counts = [f"{count_text(each.count)}×" for each in kinds]
        width = max(map(len, counts))
        for count, kind in zip(counts, kinds, strict=True):
            rows = rows_text(kind.rows, kind.count, len(kind.rows))
            self._output.note(f"  {count:>{width}} {one_line(kind.message)}   {rows}")
        if more := more_kinds_text(self._tally, len(kinds)):
            self._output.note(f"  {more}", style="dim")

    def _say_unknown(self) -> None:
        names = self._tally.unknown
        if not names:
            return
        which = rows_text(names, len(names), _MOST_NAMES)
        it = "it" if len(names) == 1 else "them"
        they = "it" if len(names) == 1 else "they"
        self._output.note()
        self._output.note(f"  Nobody knows whether RunPod took {which}: no answer came.")
        self._output.note(f"  Send {it} again, although {they} may have run and be billed twice:")
        self._output.note(f"    {self._command('retry', '--unknown')}")

    def _say_left(self) -> None:
        left = self._end.unsettled
        if not left:
            return
        running = self._tally.in_flight
        more_usd = self._more_usd
        is_are = "is" if left == 1 else "are"
        cost = f", for about {money_text(more_usd)}" if more_usd else ""
        self._output.note()
        self._output.note(f"  {counted(left, 'row')} {is_are} left{cost}. Go on:")
        self._output.note(f"    {self._command('resume', self._next_cap)}")
        if running:
            self._output.note(
                f"  {counted(running, 'job')} of these {'is' if running == 1 else 'are'} on the way: "
                "a result is kept for 30 minutes after its job ends."
            )

    @property
    def _more_usd(self) -> float | None:
        """About what the rows that are left will cost."""
        tally = self._tally
        if not tally.ended or not tally.cost_usd:
            return None
        return tally.cost_usd / tally.ended * self._end.unsettled

    @property
    def _next_cap(self) -> str:
        if self._end.ending is not Ending.COST:
            return ""
        more_usd = self._more_usd
        if more_usd is None:
            return "--max-cost USD"
        return (
            f"--max-cost {math.ceil((self._tally.cost_usd + more_usd * _RESERVE) * 100) / 100:.2f}"
        )


def _percentiles_text(times: Percentiles) -> str:
    return f"p50 {seconds_text(times.p50_ms / 1000)}, p95 {seconds_text(times.p95_ms / 1000)}"
