"""How our Typer apps are made: plain help that keeps its examples line by line, groups of options.

Owns what every command's help has in common. Typer's rich help is not used: importing it takes
longer than all the rest of `--help` together (benchmarks/startup.py).
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import DataclassInstance


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
        """Register a command; its docstring is its help.

        A parameter whose type is a dataclass stands for its fields, an option each.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            options.setdefault("help", help_text(function.__doc__ or ""))
            add = super(App, self).command(name, **options)
            return add(_with_groups_as_options(function))

        return register


def _with_groups_as_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that takes the fields of its dataclasses one by one, as Typer needs it."""
    hints = get_type_hints(function, include_extras=True)
    groups = {
        name: kind for name, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)
    }
    if not groups:
        return function
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if (group := groups.get(name)) is None:
            parameters.append(parameter.replace(annotation=hints[name]))
        else:
            parameters += _parameters_of(group)

    @functools.wraps(function)
    def ungrouped(**given: Any) -> Any:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        return function(**given)

    ungrouped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # as inspect documents
    ungrouped.__annotations__ = {each.name: each.annotation for each in parameters}
    return ungrouped


def _parameters_of(group: type[DataclassInstance]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(each.name, kind, default=each.default, annotation=hints[each.name])
        for each in fields(group)
    ]


def help_text(docstring: str) -> str:
    """Return a docstring as help whose examples are not run together into a paragraph."""
    # Click's mark for a paragraph to be left as it is.
    return inspect.cleandoc(docstring).replace("\n\nExample", "\n\n\b\nExample")
