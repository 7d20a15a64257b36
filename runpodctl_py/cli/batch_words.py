"""What is said about a batch, in words: counts, rates, money, workers, what went wrong.

Owns the words only. Where they stand on a screen is `batch_drawing.py`'s, and which are
last `batch_summary.py`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpodctl_py.cli.job_view import workers_text
from runpodctl_py.cli.output import printable, seconds_text, usd_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runpodctl_py.api.types import Health
    from runpodctl_py.batch.tally import Tally
    from runpodctl_py.cli.batch_meter import Reading

BETWEEN = " · "
_MINUTE_S = 60.0
_HOUR_S = 3600.0
_WITH_DECIMALS = 99.95
_CENTS_ARE_ENOUGH_USD = 0.0995


def count_text(count: int) -> str:
    """Return a number as people read it: `1 204`."""
    return f"{count:,}".replace(",", " ")


def times_text(count: int) -> str:
    """Say how often something happened."""
    return f"{count_text(count)}×"  # noqa: RUF001 - a multiplication sign, on purpose.


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: `1 row`, `2 000 rows`."""
    return f"{count_text(count)} {one if count == 1 else many or f'{one}s'}"


def rate_text(rate_per_s: float) -> str:
    """Say how fast rows end, in the unit that needs no zeros: `38.2/s`, `4.5/min`."""
    if rate_per_s >= _WITH_DECIMALS:
        return f"{count_text(round(rate_per_s))}/s"
    if rate_per_s >= 1:
        return f"{rate_per_s:.1f}/s"
    if rate_per_s * _MINUTE_S >= 1:
        return f"{rate_per_s * _MINUTE_S:.1f}/min"
    return f"{rate_per_s * _HOUR_S:.1f}/h"


def duration_text(seconds: float) -> str:
    """Return a duration in whole seconds: `52 s`, `3 min 20 s`."""
    return f"{round(seconds)} s" if round(seconds) < _MINUTE_S else seconds_text(round(seconds))


def money_text(amount_usd: float) -> str:
    """Return what a batch costs: in cents, or finer where that would say too little."""
    if 0 < amount_usd < _CENTS_ARE_ENOUGH_USD:
        return usd_text(amount_usd)
    return f"${amount_usd:.2f}"


def cost_text(tally: Tally, max_cost_usd: float | None) -> str | None:
    """Say what a batch has cost; None if nothing is known, or it is free."""
    if max_cost_usd is not None:
        return f"{money_text(tally.cost_usd)} of {money_text(max_cost_usd)}"
    return money_text(tally.cost_usd) if tally.cost_usd > 0 else None


def facts_of(tally: Tally, reading: Reading, max_cost_usd: float | None) -> list[str]:
    """Say what a batch is doing, how fast, how long still, and for how much."""
    facts = [f"{count_text(tally.in_flight)} running"]
    if reading.rate_per_s is not None:
        facts.append(rate_text(reading.rate_per_s))
    if reading.eta_s is not None:
        facts.append(f"{duration_text(reading.eta_s)} left")
    cost = cost_text(tally, max_cost_usd)
    return facts if cost is None else [*facts, cost]


def workers_states(health: Health | None) -> str:
    """Say what the workers are doing; if there is none yet, why."""
    if health is None:
        return "not known"
    workers = health.workers
    if not workers.idle + workers.running + workers.ready:
        return workers_text(health)
    parts = [f"{workers.running} running"]
    parts += [
        f"{count} {what}"
        for count, what in (
            (workers.idle, "idle"),
            (workers.initializing, "starting"),
            (workers.throttled, "throttled"),
            (workers.unhealthy, "unhealthy"),
        )
        if count
    ]
    return BETWEEN.join(parts)


def one_line(text: str) -> str:
    """Return text from outside on one line, without what would move a cursor."""
    return " ".join(printable(text).split())


def shortened(text: str, columns: int) -> str:
    """Return text that is at most so wide on a terminal, where some characters take two columns."""
    from rich.text import Text

    cut = Text(text)
    cut.truncate(max(1, columns), overflow="ellipsis")
    return cut.plain


def rows_text(names: Sequence[str], count: int, most: int) -> str:
    """Say which rows: `row 118`, `rows 118, 977 and 12 more`.

    Args:
        names: Those that are known by name.
        count: How many there are.
        most: The most to name.
    """
    if not names:
        return counted(count, "row")
    named = [one_line(each) for each in names[:most]]
    more = f" and {count_text(count - len(named))} more" if count > len(named) else ""
    return f"{'row' if count == 1 else 'rows'} {', '.join(named)}{more}"


def more_kinds_text(tally: Tally, said: int) -> str | None:
    """Say how many kinds of trouble are not said; None if all are."""
    more = len(tally.troubles.kinds) - said
    if tally.troubles.others:
        # Rare kinds were forgotten by name: only how many there are at least is known.
        return f"and more than {counted(max(more, 0), 'more kind')}"
    return f"and {counted(more, 'more kind')}" if more > 0 else None


def packed(parts: Iterable[str], between: str, columns: int) -> list[str]:
    """Put parts on as few lines as they fit on; no part is broken."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(between) + len(part) <= columns:
            lines[-1] += between + part
        else:
            lines.append(part)
    return lines
