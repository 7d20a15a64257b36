"""What may go wrong on purpose as a worker starts: asked here, decided by the laboratory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Start:
    """How a worker starts.

    Args:
        delay_s: By how much later.
        failure: Why it ends before it is up, if it does.
    """

    delay_s: float = 0.0
    failure: str | None = None


class Mishaps(Protocol):
    """What a host of workers asks before it starts one."""

    def withholds_room(self) -> bool:
        """Whether a new worker is throttled, whatever room there is, until it is released."""
        ...

    def start(self) -> Start:
        """How the next worker starts."""
        ...


class NoMishaps:
    """Everything goes well."""

    def withholds_room(self) -> bool:
        """Returns that no worker is throttled."""
        return False

    def start(self) -> Start:
        """Returns that a worker starts at once."""
        return Start()
