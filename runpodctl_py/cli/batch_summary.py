"""How a batch that has ended looks: its numbers, what went wrong, what to do next.

Owns the last lines, and the last document for scripts. What a batch comes to is counted in
`batch/`; the exit code and the error that goes with it are the caller's.
"""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from runpodctl_py.batch.lines import relative_path
from runpodctl_py.batch.working import Stop
from runpodctl_py.cli.batch_meter import known_cost_usd
from runpodctl_py.cli.batch_words import (
    BETWEEN,
    cost_text,
    count_text,
    counted,
    duration_text,
    money_text,
    more_kinds_text,
    one_line,
    packed,
    rate_text,
    rows_text,
    shortened,
    times_text,
)
from runpodctl_py.cli.output import is_terminal, seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runpodctl_py.batch.summary import Percentiles
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.cli.output import Output
    from runpodctl_py.jsontypes import JsonObject, JsonValue

_FILES = ("results.csv", "results.jsonl")
_MOST_KINDS = 5
_MOST_NAMES = 10
_BEFORE = 2
"""What stands before the first word: a mark and a space, or an indent."""
_GAP = 6
"""Between what stands left and what stands right."""
_AROUND_MESSAGE = 4
"""The blanks beside a message: one before it, three before the rows."""
_COLUMNS = 120
"""How wide a file or a pipe is taken to be."""
_RESERVE = 1.1
"""The next cap allows so much more than what the rest should cost: it will not cost just that."""

_WORDS = {
    Stop.DONE: "done",
    Stop.COST: "cost",
    Stop.LIMIT: "limit",
    Stop.CANCELLED: "cancelled",
    None: "interrupted",
}
_EARLY = {
    Stop.COST: "stopped at what it may cost",
    Stop.CANCELLED: "cancelled",
    None: "interrupted",
}


def summary_document(
    batch_id: str, tally: Tally, elapsed_s: float, stop: Stop | None
) -> JsonObject:
    """Return the last event of a stream; its keys are a promise to scripts.

    Args:
        batch_id: What a person types for it.
        tally: The numbers.
        elapsed_s: How long it took this time.
        stop: Why nothing more is sent; None if it was interrupted.
    """
    statistics = tally.statistics.as_json()
    unknown_rows: list[JsonValue] = [*tally.unknown]
    return {
        "event": "finished",
        "id": batch_id,
        "stop": _WORDS[stop],
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
        "requests": tally.requests,
        "rate_limited": tally.limited,
        "elapsed_s": round(elapsed_s, 3),
        "rate_per_s": round(_rate_per_s(tally, elapsed_s), 3),
        "cost_usd": known_cost_usd(tally),
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
    batch_id: str,
    tally: Tally,
    elapsed_s: float,
    *,
    stop: Stop | None,
    directory: Path,
    max_cost_usd: float | None = None,
    flags: str = "",
) -> None:
    """Say what came of a batch; on stdout, the path of its results.csv and nothing else.

    Args:
        output: Where it is said. Nothing is, in JSON: the document is the caller's.
        batch_id: What a person types for it.
        tally: The numbers.
        elapsed_s: How long it took this time.
        stop: Why nothing more is sent; None if it was interrupted.
        directory: Where the batch's files are.
        max_cost_usd: What the batch was allowed to cost.
        flags: What to add to a command that is suggested, so that it means the same place.
    """
    if output.as_json:
        return
    files = [file for name in _FILES if (file := directory.absolute() / name).is_file()]
    paths = [relative_path(file, Path.cwd()) for file in files]
    # On a terminal, a person reads both streams, and needs the path once.
    if paths and not (output.draws and sys.stdout.isatty()):
        output.result(paths[0])
    if output.is_quiet:
        return
    talk = _Talk(output, batch_id, tally, stop, flags)
    talk.say_numbers(paths, elapsed_s, max_cost_usd)
    talk.say_troubles()
    talk.say_unknown()
    talk.say_left()


class _Talk:
    """What is said to a person about the end of a batch."""

    def __init__(
        self, output: Output, batch_id: str, tally: Tally, stop: Stop | None, flags: str
    ) -> None:
        self._output = output
        self._batch_id = batch_id
        self._tally = tally
        self._stop = stop
        self._flags = flags
        self._is_terminal = is_terminal(sys.stderr)
        columns = shutil.get_terminal_size().columns if self._is_terminal else _COLUMNS
        self._columns = columns - _BEFORE - 1

    def say_numbers(
        self, paths: Sequence[str], elapsed_s: float, max_cost_usd: float | None
    ) -> None:
        """Say how many are done, where the results are, how long it took and what it cost."""
        facts = _facts(self._tally, elapsed_s, max_cost_usd)
        where = BETWEEN.join(paths)
        head, *lines = self._beside([self._head, BETWEEN.join(facts)], [where, self._retry_text])
        (self._output.warn if self._is_bad else self._output.done)(head)
        for line in lines:
            self._output.note(f"  {line}")

    def _beside(self, left: Sequence[str], right: Sequence[str]) -> Iterator[str]:
        """Yield what stands right beside what stands left, where it fits; else below it."""
        width = max(map(len, left))
        # One beside the other is a row, two are columns.
        is_aligned = all(each and width + _GAP + len(each) <= self._columns for each in right)
        for first, second in zip(left, right, strict=True):
            gap = _GAP + (width - len(first) if is_aligned else 0)
            if len(first) + gap + len(second) <= self._columns:
                yield f"{first}{' ' * gap}{second}".rstrip()
            else:
                yield from packed(first.split(BETWEEN), BETWEEN, self._columns)
                yield from filter(None, [second])

    @property
    def _is_bad(self) -> bool:
        tally = self._tally
        return self._stop in _EARLY or (tally.total > tally.invalid and not tally.succeeded)

    @property
    def _head(self) -> str:
        tally = self._tally
        parts = [f"{count_text(tally.succeeded)} of {count_text(tally.total - tally.invalid)} done"]
        if tally.failed:
            parts.append(f"{count_text(tally.failed)} failed")
        if tally.invalid:
            parts.append(f"{counted(tally.invalid, 'invalid row')} left out")
        if tally.kept:
            which = "all" if tally.kept == tally.ended else count_text(tally.kept)
            parts.append(f"{which} of them before")
        early = _EARLY.get(self._stop)
        return ", ".join(parts) + (f": {early}" if early else "")

    @property
    def _retry_text(self) -> str:
        failed = self._tally.failed
        ones = "one" if failed == 1 else "ones"
        return (
            f"again with the failed {ones}:  {self._again('retry', '--failed')}" if failed else ""
        )

    def _again(self, command: str, option: str = "") -> str:
        words = f"runpodctl-py batch {command} {self._batch_id} {option}"
        return f"{words.rstrip()}{self._flags}"

    def say_troubles(self) -> None:
        """Say what went wrong, the most frequent first."""
        kinds = self._tally.troubles.kinds[:_MOST_KINDS]
        if not kinds:
            return
        from rich.cells import cell_len

        counts = [times_text(each.count) for each in kinds]
        width = max(map(len, counts))
        self._output.note()
        for count, kind in zip(counts, kinds, strict=True):
            message, rows = one_line(kind.message), rows_text(kind.rows, kind.count, _MOST_NAMES)
            if self._is_terminal:
                rows = shortened(rows, self._columns // 2)
                message = shortened(
                    message, self._columns - width - cell_len(rows) - _AROUND_MESSAGE
                )
            self._output.note(f"  {count:>{width}} {message}   {rows}")
        if more := more_kinds_text(self._tally, len(kinds)):
            self._output.note(f"  {more}", style="dim")

    def say_unknown(self) -> None:
        """Say of which rows nobody knows anything, and what to do about them."""
        names = self._tally.unknown
        if not names:
            return
        it, they = ("it", "it") if len(names) == 1 else ("them", "they")
        rows = rows_text(names, len(names), _MOST_NAMES)
        self._output.note()
        self._say(f"Nobody knows whether RunPod took {rows}.")
        self._say(f"Send {it} again, although {they} may have run, and be billed twice:")
        self._output.note(f"    {self._again('retry', '--unknown')}")

    def say_left(self) -> None:
        """Say which rows have no result for other reasons, and how to go on with them."""
        left, running = _left(self._tally), self._tally.in_flight
        if not left:
            return
        more_usd = _more_usd(self._tally)
        cost = f" They will cost about {money_text(more_usd)}." if more_usd else ""
        self._output.note()
        self._say(f"{counted(left, 'row is', 'rows are')} left.{cost} Go on:")
        self._output.note(f"    {self._again('resume', self._next_cap(more_usd))}")
        if running:
            jobs = counted(running, "job was", "jobs were")
            self._say(f"{jobs} sent already; RunPod keeps results for 30 minutes.")

    def _say(self, text: str) -> None:
        """Say a sentence; on a terminal, it is broken at words."""
        for line in textwrap.wrap(text, self._columns) if self._is_terminal else [text]:
            self._output.note(f"  {line}")

    def _next_cap(self, more_usd: float | None) -> str:
        if self._stop is not Stop.COST:
            return ""
        if more_usd is None:
            return "--max-cost USD"
        # A little less, lest what floats lack in exactness becomes a cent.
        cents = math.ceil((self._tally.cost_usd + more_usd * _RESERVE) * 100 - 1e-6)
        return f"--max-cost {cents / 100:.2f}"


def _facts(tally: Tally, elapsed_s: float, max_cost_usd: float | None) -> list[str]:
    facts = [duration_text(elapsed_s)]
    if times := tally.statistics.executions.percentiles():
        facts.append(f"{_percentiles_text(times)} per job")
    if times := tally.statistics.delays.percentiles():
        facts.append(f"queue {_percentiles_text(times)}")
    if rate_per_s := _rate_per_s(tally, elapsed_s):
        facts.append(rate_text(rate_per_s))
    cost = cost_text(tally, max_cost_usd)
    return facts if cost is None else [*facts, cost]


def _rate_per_s(tally: Tally, elapsed_s: float) -> float:
    """Return how many rows ended in a second, this time."""
    return (tally.ended - tally.kept) / elapsed_s if elapsed_s > 0 else 0.0


def _left(tally: Tally) -> int:
    """Return how many rows have no result, those aside of which nobody knows."""
    return max(0, tally.left - len(tally.unknown))


def _more_usd(tally: Tally) -> float | None:
    """Return about what the rows that are left will cost."""
    return tally.cost_usd / tally.ended * _left(tally) if tally.ended and tally.cost_usd else None


def _percentiles_text(times: Percentiles) -> str:
    return f"p50 {seconds_text(times.p50_ms / 1000)}, p95 {seconds_text(times.p95_ms / 1000)}"
