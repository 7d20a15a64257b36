"""How a row becomes a job's input: which columns are fields, and what else goes in.

Owns what `--map` and `--set` mean in a batch. Cells that are texts are typed here, values of JSON
stay what they are. Whether RunPod and the worker take the input is `sendable.py`'s to judge.

Which columns are fields, in one rule: with `--map`, the columns it names and no other; without,
every column, under its own name. Two things are no surprise then: a column that names the rows is
no field unless the preset has such a field, and a column that is there for a template's sake need
not be one of the preset's fields. `--set` wins over a column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain
from typing import TYPE_CHECKING

from runpodctl_py.batch.template import Template
from runpodctl_py.errors import UsageError
from runpodctl_py.presets.assignments import Kind, parse_assignment, typed_value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from runpodctl_py.jsontypes import JsonObject, JsonValue
    from runpodctl_py.presets.model import InputField, Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a file's rows are made into.

    Args:
        mapping: The column that each field is taken from; empty if columns are called as fields.
        templates: Fields whose text is filled from each row.
        constants: Fields that are the same for all rows.
        preset: What declares the fields, if anything does.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, Template] = field(default_factory=dict)
    constants: Mapping[str, JsonValue] = field(default_factory=dict)
    preset: Preset | None = None

    @classmethod
    def parse(cls, maps: Sequence[str], settings: Sequence[str], preset: Preset | None) -> Recipe:
        """Read the words behind `--map` and `--set`.

        Args:
            maps: Each `field=column`.
            settings: Each `field=text`, in which `{column}` is the row's cell and `{{` a brace;
                `field=@file` or `field:=json`. The last one counts, as in a single job.
            preset: What declares the fields, if anything does.

        Raises:
            UsageError: One is none of these, no field of the preset, or of the wrong type.
        """
        mapping = _parse_maps(maps)
        templates: dict[str, Template] = {}
        constants: JsonObject = {}
        for item in settings:
            assignment = parse_assignment(item)
            name = assignment.field
            if name in mapping:
                raise UsageError(f"Both --map and --set give {name}")
            templates.pop(name, None)
            constants.pop(name, None)
            template = Template.parse(assignment.text) if assignment.kind is Kind.TEXT else None
            if template is None:
                constants[name] = assignment.value(preset)
            elif template.columns:
                templates[name] = template
            else:
                constants[name] = typed_value(name, template.literals[0], preset)
        recipe = cls(mapping=mapping, templates=templates, constants=constants, preset=preset)
        recipe._check_fields(chain(mapping, templates, constants))
        return recipe

    @property
    def declared(self) -> Mapping[str, InputField]:
        """The fields that the preset declares; empty if nobody declared any."""
        return self.preset.input if self.preset else {}

    def check_columns(self, columns: Collection[str], apart: Collection[str] = ()) -> None:
        """Judge a table's header, before any of its rows.

        Args:
            columns: All its columns.
            apart: Those that are no fields by themselves.

        Raises:
            UsageError: A column is missing, or is no field of the preset.
        """
        self.check_presence(columns, "column")
        if not self.declared:
            return
        strangers = [name for name, _ in self._pairs(columns, apart) if name not in self.declared]
        if strangers:
            raise UsageError(
                f"Columns that are no input fields: {', '.join(map(repr, strangers))}",
                hint="Name those to take, and no other is:  --map field=column\n"
                f"Fields: {', '.join(self.declared)}",
            )

    def check_presence(self, columns: Collection[str], noun: str) -> None:
        """Make sure that everything is there that `--map` and templates take.

        Raises:
            UsageError: A column is missing; the noun is what to call it.
        """
        used = chain(self.mapping.values(), *(each.columns for each in self.templates.values()))
        for column in used:
            if column not in columns:
                raise UsageError(
                    f"There is no {noun} {column!r}{_suggestion(column, columns)}",
                    hint=f"There are: {', '.join(map(repr, columns))}",
                )

    def from_texts(self, cells: Mapping[str, str], apart: Collection[str] = ()) -> JsonObject:
        """Make an input of a table's row; an empty cell leaves its field out.

        Args:
            cells: The row's cells by column.
            apart: Columns that are no fields by themselves.

        Raises:
            UsageError: A cell is no value of its field's type; one line for each.
        """
        texts = ((name, cells[column]) for name, column in self._pairs(cells, apart))
        payload = self._typed(chain(texts, self._filled(cells)))
        payload.update(self.constants)
        return payload

    def from_values(self, values: Mapping[str, JsonValue], apart: Collection[str]) -> JsonObject:
        """Make an input of values that have their types already.

        Args:
            values: The row's values by key.
            apart: Keys that are no fields by themselves.

        Raises:
            UsageError: A key is missing, or a filled template is no value of its field's type.
        """
        if self.mapping or self.templates:
            self.check_presence(values, "key")
        payload = {name: values[key] for name, key in self._pairs(values, apart)}
        if self.templates:
            payload.update(self._typed(self._filled(values)))
        payload.update(self.constants)
        return payload

    def _pairs(self, columns: Iterable[str], apart: Collection[str]) -> Iterable[tuple[str, str]]:
        """Return each field with the column it is taken from."""
        if self.mapping:
            return self.mapping.items()
        left_out = {*apart, *self.templates, *self.constants, *self._ingredients()}
        return [(name, name) for name in columns if name not in left_out]

    def _ingredients(self) -> Iterator[str]:
        """Yield columns that are there for a template's sake only."""
        if self.declared:
            for template in self.templates.values():
                yield from (name for name in template.columns if name not in self.declared)

    def _filled(self, cells: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
        return ((name, template.fill(cells)) for name, template in self.templates.items())

    def _typed(self, texts: Iterable[tuple[str, str]]) -> JsonObject:
        """Return the values of what is not empty."""
        payload: JsonObject = {}
        problems: list[str] = []
        for name, text in texts:
            if not text:
                continue
            try:
                payload[name] = typed_value(name, text, self.preset)
            except UsageError as exc:
                problems.append(exc.message)
        if problems:
            raise UsageError("\n".join(problems))
        return payload

    def _check_fields(self, names: Iterable[str]) -> None:
        for name in names:
            if self.preset and self.declared and name not in self.declared:
                raise UsageError(
                    f"{self.preset.name} has no input field {name}"
                    f"{_suggestion(name, self.declared)}",
                    hint=f"Fields of {self.preset.name}: {', '.join(self.declared)}",
                )


def _parse_maps(items: Sequence[str]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for item in items:
        name, equals, column = item.partition("=")
        if not (name and equals and column):
            raise UsageError(f"--map takes field=column, not {item!r}")
        if name in mapping:
            raise UsageError(f"--map gives {name} twice: from {mapping[name]!r} and {column!r}")
        mapping[name] = column
    return mapping


def _suggestion(name: str, known: Iterable[str]) -> str:
    nearest = get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
