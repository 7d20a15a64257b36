"""What a worker yields, printed on stdout as it arrives: text as text, other values as JSON.

Owns when a line has to be ended. Which pieces are text is `jobs/words.py`'s, which are files
`jobs/outputs.py`'s: files are saved when the job has ended, not printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpodctl_py.jobs.outputs import InlineFile, read_output
from runpodctl_py.jobs.progress import read_progress
from runpodctl_py.jobs.words import LiveText, is_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.cli.output import Output
    from runpodctl_py.jobs.progress import Progress
    from runpodctl_py.jsontypes import JsonValue


class TextOnStdout:
    """Prints a text in parts, and ends its last line.

    Args:
        output: Where.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._is_at_start = True

    def say(self, text: str) -> None:
        """Print a part."""
        if text:
            self._output.text(text)
            self._is_at_start = text.endswith("\n")

    def end(self) -> None:
        """End the line, if it has begun."""
        if not self._is_at_start:
            self.say("\n")


class Saying:
    """Prints what pieces say.

    Args:
        output: Where.
        before: Called once, before anything is printed.

    Attributes:
        pieces: How many pieces there were.
        has_said: Whether anything was printed.
    """

    def __init__(self, output: Output, before: Callable[[], None] = lambda: None) -> None:
        self._output = output
        self._before = before
        self._words = LiveText()
        self._text = TextOnStdout(output)
        self.pieces = 0
        self.has_said = False

    def hear(self, piece: JsonValue) -> bool:
        """Print a piece, and tell whether it is one to print: no file, and no progress."""
        self.pieces += 1
        if how_far(piece) is not None or _is_file(piece):
            return False
        if text := self._words.feed(piece):
            self._say(text)
            return True
        if is_words(piece):
            # The rest of it may follow, or was said without words.
            return True
        self._text.end()
        self._begin()
        self._output.event(piece)
        return True

    def end(self) -> None:
        """Print what is left, and end the line."""
        self._say(self._words.end())
        self._text.end()

    def _say(self, text: str) -> None:
        if text:
            self._begin()
            self._text.say(text)

    def _begin(self) -> None:
        if not self.has_said:
            self.has_said = True
            self._before()


def _is_file(piece: JsonValue) -> bool:
    """Tell whether a piece is saved rather than read; a link may also be a word of a text."""
    files = read_output(piece).files
    return any(not isinstance(piece, str) or isinstance(file, InlineFile) for file in files)


def how_far(piece: JsonValue) -> Progress | None:
    """Return the progress that a piece tells, if that is what it does (workers reference C)."""
    progress = read_progress(piece) if isinstance(piece, dict) else None
    return progress if progress is not None and progress.percent is not None else None
