"""Asking the person, where there is one: a yes, or a name typed in full.

Owns what happens without a terminal, and that Ctrl-C ends a question at once.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING

import typer

from runpodctl_py.errors import ConfirmationNeededError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_HINT = "Say it beforehand with --yes"


def confirm(question: str, otherwise: str, *, hint: str = _HINT) -> None:
    """Ask for a yes.

    Raises:
        ConfirmationNeededError: There was none, or nobody to ask; `otherwise` says what then.
    """
    _ask(lambda: typer.confirm(question, err=True), otherwise, hint)


def confirm_by_name(question: str, name: str, otherwise: str) -> None:
    """Ask for a name to be typed.

    Raises:
        ConfirmationNeededError: It was not, or nobody was there; `otherwise` says what then.
    """
    _ask(lambda: str(typer.prompt(question, err=True)).strip() == name, otherwise, _HINT)


def _ask(question: Callable[[], bool], otherwise: str, hint: str) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfirmationNeededError(
            f"{otherwise}: it needs a yes, and nobody is there to give it", hint=hint
        )
    with _ctrl_c_at_once():
        agreed = question()
    if not agreed:
        raise ConfirmationNeededError(f"{otherwise}: you did not agree")


@contextlib.contextmanager
def _ctrl_c_at_once() -> Iterator[None]:
    """Let Ctrl-C end a question: asyncio would only note it, and go on waiting for the answer."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except typer.Abort:
        print(file=sys.stderr)  # The question's line ends here.
        raise
    finally:
        signal.signal(signal.SIGINT, before)
