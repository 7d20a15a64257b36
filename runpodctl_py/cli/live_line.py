"""One line on stderr that is drawn in place: a spinner, a word, the time, and what else there is.

Owns the drawing. What stands on the line is the caller's, who is asked for it ten times a second.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.live import Live
    from rich.text import Text

#: A terminal echoes Ctrl-C as two characters. On a full line they would go to the next one, and the
#: line that is drawn in place would be left behind.
_ROOM_FOR_ECHOES = 6


@dataclass(frozen=True)
class State:
    """What stands on the line.

    Args:
        word: What happens.
        seconds: For how long.
        is_waiting: Whether nothing is done yet.
        rest: What else there is; the last of it is cut where the line ends.
    """

    word: str
    seconds: float
    is_waiting: bool
    rest: Sequence[RenderableType]


class Drawn(Protocol):
    """What a line shows."""

    def state(self, columns: int) -> State:
        """Return what stands on the line now."""


class LiveLine:
    """The line. It leaves nothing behind.

    Args:
        drawn: What it shows.
    """

    def __init__(self, drawn: Drawn) -> None:
        self._drawn = drawn
        self._live: Live | None = None

    def begin(self) -> None:
        """Begin to draw."""
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            get_renderable=self._line,
            console=Console(file=sys.stderr),
            refresh_per_second=10,
            transient=True,
            # Else what goes to a file or a pipe while the line is drawn would go to the screen.
            redirect_stdout=False,
        )
        self._live.start()

    def end(self) -> None:
        """Take the line away, if it is there."""
        if self._live is not None:
            self._live.stop()

    def refresh(self) -> None:
        """Draw it now."""
        if self._live is not None:
            self._live.refresh()

    def print_above(self, text: Text) -> None:
        """Print something that stays, and an empty line."""
        if self._live is not None:
            # Whole on a narrow terminal, too: somebody may want to copy it.
            self._live.console.print(text, soft_wrap=True)
            self._live.console.print()

    def _line(self) -> RenderableType:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        columns = 80 if self._live is None else self._live.console.width
        state = self._drawn.state(columns)
        style = "yellow" if state.is_waiting else "green"
        cells: list[RenderableType] = [
            Spinner("dots", style=style),
            Text(f"{state.word:<8}", style=style),
            Text(f"{state.seconds:4.0f} s"),
            *state.rest,
        ]
        grid = Table.grid(padding=(0, 2, 0, 0))
        for _ in cells[:-1]:
            grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        grid.width = max(1, columns - _ROOM_FOR_ECHOES)
        grid.add_row(*cells)
        return grid
