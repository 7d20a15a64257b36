"""A text with `{column}` in it, to be filled from a row. Knows nothing of fields or types."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.jsontypes import JsonValue

_MARK: Final = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with holes.

    Args:
        literals: What stands before, between and after the holes: always one more than those.
        columns: What fills them.
    """

    literals: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a text in which `{column}` is a hole; `{{` and `}}` are braces.

        Raises:
            UsageError: A brace stands alone.
        """
        literals, columns, literal, position = [], [], "", 0
        for mark in _MARK.finditer(text):
            literal += text[position : mark.start()]
            position = mark.end()
            if column := mark[1]:
                literals.append(literal)
                columns.append(column)
                literal = ""
            elif len(mark[0]) == 1:
                raise UsageError(
                    f"There is a single {mark[0]} in {text!r}",
                    hint="{column} is a row's cell. Write {{ and }} for braces, or field:=JSON",
                )
            else:
                literal += mark[0][0]
        return cls((*literals, literal + text[position:]), tuple(columns))

    def fill(self, cells: Mapping[str, JsonValue]) -> str:
        """Return the text for one row, which must have all the columns."""
        parts = [self.literals[0]]
        for column, literal in zip(self.columns, self.literals[1:], strict=True):
            parts += (_text(cells[column]), literal)
        return "".join(parts)


def _text(value: JsonValue) -> str:
    """Write a cell into a text: null is nothing, what is no text is JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
