"""Times as REST writes and reads them: RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime


def text(seconds: float) -> str:
    """Returns seconds since 1970 in UTC, without parts of a second."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(given: str) -> float:
    """Returns seconds since 1970.

    Raises:
        ValueError: It is no time, or names no time zone.
    """
    time = datetime.fromisoformat(given)
    if time.tzinfo is None:
        raise ValueError("no time zone")
    try:
        return time.timestamp()
    except OverflowError as error:
        raise ValueError("out of range") from error
