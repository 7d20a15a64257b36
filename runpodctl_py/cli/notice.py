"""The line at the end of a command that says what is still to be fetched."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runpodctl_py.cli.located import load_settings, open_ledger
from runpodctl_py.cli.options import Common
from runpodctl_py.cli.output import seconds_text

if TYPE_CHECKING:
    from runpodctl_py.jobs.ledger import Waiting

_JUST_LEFT_S = 60.0
"""A job that was left running so recently is on its person's mind anyway."""


def notice() -> str | None:
    """Return what waits to be fetched, in words; None if nothing does, or nobody can tell."""
    try:
        if not load_settings(Common()).ledger_path.exists():
            return None
        with open_ledger() as ledger:
            now = time.time()
            return waiting_text(ledger.waiting(left_before=now - _JUST_LEFT_S), now)
    except Exception:  # noqa: BLE001 # whatever it is, it was not asked for
        # A command that needs the ledger says what is wrong with it.
        return None


def waiting_text(waiting: Waiting, now: float) -> str | None:
    """Say what waits, and for how long it will."""
    parts = []
    if waiting.ended:
        left_s = (waiting.first_drop_at or now) - now
        drop = f"RunPod drops the first in {seconds_text(left_s)}" if left_s > 0 else "may be gone"
        parts.append(f"{_count(waiting.ended, 'result')} not fetched ({drop})")
    if waiting.running:
        parts.append(f"{_count(waiting.running, 'job')} left running (kept 30 min after the end)")
    if waiting.unknown:
        parts.append(f"{_count(waiting.unknown, 'job')} sent without an answer")
    if not parts:
        return None
    # Of a batch, it knows what its files are called.
    ways = [f"runpodctl-py batch resume {each}" for each in waiting.batch_ids]
    if waiting.others or not ways:
        ways.append("runpodctl-py jobs sync")
    return f"{', '.join(parts)}. Fetch:  {'; '.join(ways)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
