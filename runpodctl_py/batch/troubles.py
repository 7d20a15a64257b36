"""What goes wrong in a batch, put together by kind: how often, in which rows.

Owns which messages are the same trouble. Which rows are in trouble is told by whoever runs them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonObject, JsonValue

_MOST_KINDS = 50
_MOST_ROWS = 5
_LONGEST_MESSAGE = 500
_LONGEST_NAME = 100
DIFFERS = "…"
"""What stands for the parts in which the messages of one kind differ."""

# What `collect.judge` says before the worker's own words.
_PREAMBLE = re.compile(r"The job failed(?: after [\d.]+ s)?: ")
_VARIABLE = re.compile(
    r"""
      \b[a-z][a-z0-9+.-]{1,20}://[^\s'"<>]+     # a URL
    | (?<!\w)'[^']*'(?!\w) | "[^"]*" | `[^`]*`  # something quoted; an apostrophe quotes nothing
    | (?<![\w.~-])(?:[A-Za-z]:)?[\w.~-]*(?:[/\\][\w.~-]+){2,}  # a path
    # A word; if there is a digit in it, a number with its unit, a time, a UUID, a RunPod id.
    | \w+(?:(?:[.+-]|(?<=\d):(?=\d))\w+)*(?:[ ][KMGT]i?B\b)?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of trouble.

    Args:
        message: What all its messages say; an ellipsis stands for where they differ.
        sample: The first message, on one line of at most 500 characters.
        count: How many messages there were.
        rows: The names of the first rows that had it.
    """

    message: str
    sample: str
    count: int
    rows: tuple[str, ...]

    def as_json(self) -> JsonObject:
        """Return it as a JSON document; its keys are a promise to scripts."""
        rows: list[JsonValue] = [*self.rows]
        return {
            "message": self.message,
            "sample": self.sample,
            "count": self.count,
            "rows": rows,
        }


class Troubles:
    """The kinds of trouble so far: 50 of them, however many there are.

    When there is one more, the rarest makes room, and of those the one not seen for longest: what
    is frequent stays, and the last trouble is always there.
    """

    def __init__(self) -> None:
        # The one seen last stands last.
        self._kinds: dict[str, Trouble] = {}
        self._others = 0

    def add(self, row: str, message: str) -> None:
        """Note that a row, by its name, is in trouble."""
        said = _one_line(message)
        kind = _kind_of(said)
        known = self._kinds.pop(kind, None)
        if known is None:
            self._make_room()
            known = Trouble(said, said, 0, ())
        self._kinds[kind] = Trouble(
            known.message if known.message == said else kind,
            known.sample,
            known.count + 1,
            (*known.rows, row[:_LONGEST_NAME]) if len(known.rows) < _MOST_ROWS else known.rows,
        )

    @property
    def kinds(self) -> tuple[Trouble, ...]:
        """The kinds, the most frequent first, and of the same count the one seen last."""
        latest_first = reversed(self._kinds.values())
        return tuple(sorted(latest_first, key=lambda kind: kind.count, reverse=True))

    @property
    def others(self) -> int:
        """How many messages are of kinds that had to make room."""
        return self._others

    def as_json(self) -> list[JsonValue]:
        """Return the kinds as JSON."""
        return [kind.as_json() for kind in self.kinds]

    def _make_room(self) -> None:
        if len(self._kinds) >= _MOST_KINDS:
            rarest = min(self._kinds, key=lambda kind: self._kinds[kind].count)
            self._others += self._kinds.pop(rarest).count


def _one_line(message: str) -> str:
    said = _PREAMBLE.sub("", message.strip()[: 2 * _LONGEST_MESSAGE], count=1)
    line = " ".join(said.partition("\n")[0].split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 1]}…"


def _kind_of(said: str) -> str:
    return _VARIABLE.sub(lambda found: _without_variable(found[0]), said)


def _without_variable(part: str) -> str:
    if part[0] in "'\"`":
        return f"{part[0]}{DIFFERS}{part[0]}"
    is_variable = any(each in "/\\" or each.isdigit() for each in part)
    return DIFFERS if is_variable else part
