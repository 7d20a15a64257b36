"""Times as people type and say them: `31m`, `2d`, `2026-11-21`, `5 min ago`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from runpodctl_py.errors import UsageError

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])"


def parsed_duration(text: str) -> float:
    """Return a duration in seconds: `500ms`, `31m`, `1h30m`.

    Raises:
        UsageError: It is none.
    """
    if not re.fullmatch(f"(?:{_PART})+", text):
        raise UsageError(
            f"{text!r} is no duration: write numbers with ms, s, m, h or d",
            hint="Half an hour and a little:  31m",
        )
    return sum(float(number) * _UNITS_S[unit] for number, unit in re.findall(_PART, text))


def parsed_moment(text: str, now: float) -> float:
    """Return a moment in seconds since 1970: a date or time, or a duration before now.

    Raises:
        UsageError: It is neither.
    """
    if re.match(r"\d{4}-\d\d-\d\d", text):
        try:
            return datetime.fromisoformat(text).timestamp()
        except ValueError as exc:
            raise UsageError(f"{text!r} is no date: {exc}") from exc
    try:
        return now - parsed_duration(text)
    except UsageError as exc:
        raise UsageError(
            f"{text!r} is neither a date nor a duration", hint="Such as 2026-11-21, 30m or 2d"
        ) from exc


def ago_text(at: float, now: float) -> str:
    """Say how long ago something was."""
    passed_s = max(0.0, now - at)
    for unit_s, word in ((86400, "day"), (3600, "h"), (60, "min")):
        if passed_s >= unit_s:
            count = int(passed_s // unit_s)
            plural = "s" if word == "day" and count > 1 else ""
            return f"{count} {word}{plural} ago"
    return f"{int(passed_s)} s ago"


def utc_text(at: float | None) -> str | None:
    """Return a moment as JSON has it: ISO 8601, in UTC, with milliseconds."""
    if at is None:
        return None
    moment = datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
