"""How our Typer apps are made: plain help that keeps its examples line by line.

Owns what every command's help has in common. Typer's rich help is not used: importing it takes
longer than all the rest of `--help` together (benchmarks/startup.py).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable


class App(typer.Typer):
    """A Typer app in the house style.

    Args:
        options: Passed on to Typer.
    """

    def __init__(self, **options: Any) -> None:
        options.setdefault("add_completion", False)
        super().__init__(rich_markup_mode=None, pretty_exceptions_enable=False, **options)

    def command(  # type: ignore[override] # Typer's options are passed through by name
        self, name: str | None = None, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a command; its docstring is its help."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            options.setdefault("help", help_text(function.__doc__ or ""))
            add = super(App, self).command(name, **options)
            return add(function)

        return register


def help_text(docstring: str) -> str:
    """Return a docstring as help whose examples are not run together into a paragraph."""
    # Click's mark for a paragraph to be left as it is.
    return inspect.cleandoc(docstring).replace("\n\nExample", "\n\n\b\nExample")
