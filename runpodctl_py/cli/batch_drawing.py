"""What is drawn of a running batch: a bar with the numbers, the workers, what went wrong.

Owns where things stand on a screen of any width, and their colours. When it is drawn is
`batch_view.py`'s, and the words are `batch_words.py`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpodctl_py.cli.batch_words import (
    BETWEEN,
    count_text,
    facts_of,
    more_kinds_text,
    one_line,
    packed,
    rows_text,
    times_text,
    workers_states,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.cli.batch_meter import Reading

_INDENT = "  "
_GAP = "   "
_LABEL_WIDTH = 9
_WIDEST_BAR = 30
_NARROWEST_BAR = 10
_BESIDE_THE_BAR = 90
"""What a line has to hold beside the bar, at most; it does not depend on the numbers, because the
bar would twitch whenever one gets a digit more."""
_ROOM_FOR_ROWS = 60
"""On a narrower terminal, the words of an error are worth more than its rows."""
_MOST_KINDS = 3
_MOST_NAMES = 2


def drawing(
    tally: Tally, reading: Reading, max_cost_usd: float | None, columns: int
) -> list[RenderableType]:
    """Return what is to be seen of a batch, a line each, the most important first.

    Args:
        tally: Its live numbers.
        reading: How fast it is.
        max_cost_usd: What it may cost.
        columns: How wide a line may be.
    """
    facts = facts_of(tally, reading, max_cost_usd)
    if tally.failed:
        facts.insert(1, _failed_text(tally))
    return [
        *_progress(tally, facts, columns),
        *_workers(tally, columns),
        *_troubles(tally, columns),
        *_unknown(tally),
    ]


def _progress(tally: Tally, facts: list[str], columns: int) -> list[RenderableType]:
    total = count_text(tally.total - tally.invalid)
    count = f"{count_text(tally.ended)} of {total}"
    width = min(columns - _BESIDE_THE_BAR, _WIDEST_BAR)
    if width >= _NARROWEST_BAR:
        room = _BESIDE_THE_BAR - len(_INDENT) - len(_GAP)
        first, *more = packed([count, *facts], _GAP, room)
    else:
        # The longest this line gets: the bar keeps its width.
        longest = len(f"{total} of {total}")
        width = min(columns - len(_INDENT) - len(_GAP) - longest, _WIDEST_BAR)
        first, more = count, packed(facts, _GAP, columns - len(_INDENT))
    return [_bar(tally, width, first), *(_numbers(tally, line) for line in more)]


def _bar(tally: Tally, width: int, beside: str) -> RenderableType:
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    if width < _NARROWEST_BAR:
        return _numbers(tally, beside)
    bar = ProgressBar(
        # Of no rows at all, there is no share.
        total=max(1, tally.total - tally.invalid),
        completed=tally.ended,
        width=width,
        complete_style="green",
        finished_style="green",
    )
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True, width=width)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(bar, _numbers(tally, beside))
    return Padding(grid, (0, 0, 0, len(_INDENT)), expand=False)


def _numbers(tally: Tally, words: str) -> Text:
    line = _line(_INDENT + words)
    if tally.failed:
        line.highlight_words([_failed_text(tally)], "red")
    return line


def _failed_text(tally: Tally) -> str:
    return f"{count_text(tally.failed)} failed"


def _workers(tally: Tally, columns: int) -> list[RenderableType]:
    health = tally.health
    is_waiting = health is not None and not health.workers.running
    states = workers_states(health).split(BETWEEN)
    first, *more = packed(states, BETWEEN, columns - len(_INDENT) - _LABEL_WIDTH)
    style = "yellow" if is_waiting else "dim"
    return [_labelled("workers", first, style), *(_labelled("", line, "") for line in more)]


def _troubles(tally: Tally, columns: int) -> list[RenderableType]:
    from rich.text import Text

    kinds = tally.troubles.kinds[:_MOST_KINDS]
    if not kinds:
        return []
    counts = _aligned([times_text(each.count) for each in kinds], columns)
    room = columns - len(_INDENT) - _LABEL_WIDTH - counts[0].cell_len - 1
    rows = [f"{_GAP}{rows_text(each.rows, each.count, _MOST_NAMES)}" for each in kinds]
    beside = _aligned(rows, room // 2, "dim") if columns >= _ROOM_FOR_ROWS else [Text()] * len(rows)
    messages = _aligned([one_line(each.message) for each in kinds], room - beside[0].cell_len)
    columns_of_text = zip(counts, messages, beside, strict=True)
    lines = [Text.assemble(count, " ", message, row) for count, message, row in columns_of_text]
    if more := more_kinds_text(tally, len(kinds)):
        lines.append(Text(more, "dim"))
    first, *others = lines
    return [_line(""), _labelled("errors", first, "red"), *(_labelled("", o, "") for o in others)]


def _unknown(tally: Tally) -> list[RenderableType]:
    names = tally.unknown
    if not names:
        return []
    text = f"whether RunPod took {rows_text(names, len(names), _MOST_NAMES)}"
    return [_labelled("unknown", text, "yellow")]


def _line(text: str) -> Text:
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def _labelled(label: str, text: str | Text, style: str) -> Text:
    line = _line(_INDENT)
    line.append(f"{label:<{_LABEL_WIDTH}}", style or None)
    # What is appended keeps its own colours.
    return line.append(text) if isinstance(text, str) else line.append_text(text)


def _aligned(texts: list[str], widest: int, style: str = "") -> list[Text]:
    """Make texts equally wide: as wide as the longest, or as is allowed."""
    from rich.text import Text

    lines = [Text(each, style) for each in texts]
    width = max(1, min(widest, max(each.cell_len for each in lines)))
    for each in lines:
        each.truncate(width, overflow="ellipsis", pad=True)
    return lines
