"""From a preset's TOML to the model: every key known, every value of its type and in its range.

Owns what a preset file may say, and its defaults (RunPod's own, where it has any). A preset's
settings are declared with the same fields as a job's input, so both are judged in the same words.
Does not open files: `loading` does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, get_args

from runpodctl_py.errors import UsageError
from runpodctl_py.gpus import GpuSelection
from runpodctl_py.presets.fields import FIELD_TYPES, InputField, shown
from runpodctl_py.presets.model import EndpointSettings, Preset, Scaler, TemplateSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMAND: Final = re.compile(r"(?!runpodctl)\S(?:.*\S)?")
_CUDA_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+")
_RANGED: Final = {"integer", "number"}
_SIZED: Final = {"string", "array", "file"}
_CHOOSABLE: Final = {"string", "integer", "number"}

_PRESET_KEYS: Final = (
    InputField(name="name", type="string", required=True),
    InputField(name="title", type="string"),
    InputField(name="description", type="string", default=""),
    InputField(name="env_key", type="string", min_length=1),
    InputField(name="example", type="string"),
    InputField(name="template", type="object", default={}),
    InputField(name="endpoint", type="object", default={}),
    InputField(name="input", type="object", default={}),
    InputField(name="output", type="object", default={}),
)
_OUTPUT_KEYS: Final = (InputField(name="type", type="string", choices=("object",)),)
_TEMPLATE_KEYS: Final = (
    InputField(name="name", type="string", min_length=1),
    InputField(name="image", type="string", required=True, min_length=1),
    InputField(name="container_disk_gb", type="integer", min=1, default=10),
    InputField(name="start_command", type="string", default=""),
    InputField(name="env", type="object", default={}),
)
# Ranges and defaults: API reference 1.4.
_ENDPOINT_KEYS: Final = (
    InputField(name="name", type="string", min_length=1, max_length=191),
    InputField(name="gpu", type="array", min_length=1, default=["AMPERE_16"]),
    InputField(name="gpu_count", type="integer", min=1, default=1),
    InputField(name="workers_min", type="integer", min=0, default=0),
    InputField(name="workers_max", type="integer", min=0, default=3),
    InputField(name="idle_timeout_s", type="integer", min=1, max=3600, default=5),
    InputField(name="execution_timeout_s", type="integer", min=0, default=600),
    InputField(name="scaler", type="string", choices=get_args(Scaler), default="queue-delay"),
    InputField(name="scaler_value", type="integer", min=1, default=4),
    InputField(name="flashboot", type="boolean", default=False),
    InputField(name="network_volume", type="string", min_length=1),
    InputField(name="data_centers", type="array", default=[]),
    InputField(name="allowed_cuda_versions", type="array", default=[]),
)
_INPUT_KEYS: Final = (
    InputField(name="type", type="string", required=True, choices=FIELD_TYPES),
    InputField(name="required", type="boolean", default=False),
    InputField(name="min", type="number"),
    InputField(name="max", type="number"),
    InputField(name="choices", type="array", default=[]),
    InputField(name="min_length", type="integer", min=0),
    InputField(name="max_length", type="integer", min=0),
    InputField(name="help", type="string", default=""),
)
_SAMPLE_KEYS: Final = ("default", "example")
"""Keys of an input field that take whatever the field itself takes."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in which file we are reading, for messages."""

    source: str
    path: tuple[str, ...] = ()

    def at(self, key: str) -> _Place:
        return replace(self, path=(*self.path, key))

    def error(self, problem: str, hint: str | None = None) -> UsageError:
        """Build the error for what stands here; the problem continues `file: key …`."""
        return UsageError(f"{self.source}: {'.'.join(self.path)} {problem}", hint=hint)


def parse_preset(document: Mapping[str, Any], source: str) -> Preset:
    """Turn a preset file's content into a preset.

    Args:
        document: What the TOML reader made of the file.
        source: The file's name, for messages.

    Raises:
        UsageError: At the first thing that is wrong, with its file, key and allowed values.
    """
    top = _Place(source)
    for key, value in document.items():
        _check_json(value, top.at(key))
    values = _read(document, _PRESET_KEYS, top)
    name = values["name"]
    _check_pattern(_NAME, name, top.at("name"), "of letters, digits, hyphens and underscores")
    env_key = values["env_key"] or f"RUNPOD_{re.sub('-', '_', name).upper()}_ENDPOINT_ID"
    _check_pattern(_VARIABLE, env_key, top.at("env_key"), "that can name an environment variable")
    if (example := values["example"]) is not None:
        rule = "of one line, as it stands behind runpodctl-py"
        _check_pattern(_COMMAND, example, top.at("example"), rule)
    endpoint = _endpoint(values["endpoint"], name, top.at("endpoint"))
    inputs = top.at("input")
    return Preset(
        name=name,
        title=values["title"] or name,
        description=values["description"],
        env_key=env_key,
        template=_template(values["template"], endpoint.name, top.at("template")),
        endpoint=endpoint,
        input={key: _field(key, raw, inputs.at(key)) for key, raw in values["input"].items()},
        returns_object=_read(values["output"], _OUTPUT_KEYS, top.at("output"))["type"] is not None,
        example=example,
    )


def _template(table: Mapping[str, Any], default_name: str, place: _Place) -> TemplateSettings:
    values = _read(table, _TEMPLATE_KEYS, place)
    for key, value in values["env"].items():
        variable = place.at("env").at(key)
        _check_pattern(_VARIABLE, key, variable, "that can name an environment variable")
        if not isinstance(value, str):
            raise variable.error(f"must be a text, not {shown(value)}", hint="Put it in quotes.")
    changes = {"name": values["name"] or default_name, "env": dict(values["env"])}
    return TemplateSettings(**values | changes)


def _endpoint(table: Mapping[str, Any], default_name: str, place: _Place) -> EndpointSettings:
    values = _read(table, _ENDPOINT_KEYS, place)
    if values["workers_min"] > values["workers_max"]:
        raise place.at("workers_min").error(
            f"must not exceed workers_max ({values['workers_min']} > {values['workers_max']})"
        )
    cuda_versions = _texts(values["allowed_cuda_versions"], place.at("allowed_cuda_versions"))
    for version in cuda_versions:
        where = place.at("allowed_cuda_versions")
        _check_pattern(_CUDA_VERSION, version, where, "of a major and a minor version, as in 12.8")
    return EndpointSettings(
        **values
        | {
            "name": values["name"] or default_name,
            "gpu": _gpu_selection(values["gpu"], place.at("gpu")),
            "data_centers": _texts(values["data_centers"], place.at("data_centers")),
            "allowed_cuda_versions": cuda_versions,
        }
    )


def _gpu_selection(entries: list[Any], place: _Place) -> GpuSelection:
    text = ",".join(_texts(entries, place))
    try:
        return GpuSelection.parse(text)
    except UsageError as error:
        raise UsageError(
            f"{place.source}: {'.'.join(place.path)}: {error.message}", hint=error.hint
        ) from error


def _field(name: str, table: Any, place: _Place) -> InputField:
    if not isinstance(table, dict):
        raise place.error(f'must be a table such as {{type = "string"}}, not {shown(table)}')
    values = _read(table, _INPUT_KEYS, place, free=_SAMPLE_KEYS)
    field = InputField(name=name, **values | {"choices": tuple(values["choices"])})
    _check_limits(field, place)
    for choice in field.choices:
        unlisted = replace(field, choices=())
        if not unlisted.accepts(choice):
            raise place.at("choices").error(
                f"must hold {unlisted.expectation}, not {shown(choice)}"
            )
    for key in _SAMPLE_KEYS:
        if key in table and not field.accepts(table[key]):
            raise place.at(key).error(f"must be {field.expectation}, not {shown(table[key])}")
    return field


def _check_limits(field: InputField, place: _Place) -> None:
    """Refuse limits that this type of field does not have, or that contradict each other."""
    limits = {
        "min": (field.min, _RANGED),
        "max": (field.max, _RANGED),
        "min_length": (field.min_length, _SIZED),
        "max_length": (field.max_length, _SIZED),
        "choices": (field.choices or None, _CHOOSABLE),
    }
    for key, (limit, types) in limits.items():
        if limit is not None and field.type not in types:
            raise place.at(key).error(
                f"does not apply to type {field.type}",
                hint=f"It applies to: {', '.join(sorted(types))}",
            )
    for least, most in (("min", "max"), ("min_length", "max_length")):
        low, high = limits[least][0], limits[most][0]
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            raise place.at(least).error(f"must not exceed {most} ({low} > {high})")


def _read(
    table: Mapping[str, Any],
    keys: Iterable[InputField],
    place: _Place,
    free: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Judge a table by its declared keys, and fill in what is absent.

    Args:
        table: What the file says.
        keys: The keys that are judged, with their defaults.
        place: Where the table stands.
        free: Further keys, whose values the caller judges; absent ones stay absent.
    """
    declared = {key.name: key for key in keys}
    for name in table:
        if name not in declared and name not in free:
            raise _unknown_key(place.at(name), name, (*declared, *free))
    for name, key in declared.items():
        if name in table and not key.accepts(table[name]):
            raise place.at(name).error(f"must be {key.expectation}, not {shown(table[name])}")
        if name not in table and key.required:
            raise place.at(name).error(f"is missing: {key.expectation}")
    values = {name: table.get(name, key.default) for name, key in declared.items()}
    return values | {name: table[name] for name in free if name in table}


def _unknown_key(place: _Place, name: str, allowed: tuple[str, ...]) -> UsageError:
    nearest = get_close_matches(name, allowed, n=1)
    suggestion = f"; did you mean {nearest[0]}?" if nearest else ""
    return place.error(f"is no known key{suggestion}", hint=f"Known here: {', '.join(allowed)}")


def _texts(entries: list[Any], place: _Place) -> tuple[str, ...]:
    for entry in entries:
        if not isinstance(entry, str) or not entry.strip():
            raise place.error(f"must hold texts only, not {shown(entry)}")
    return tuple(entries)


def _check_pattern(pattern: re.Pattern[str], text: str, place: _Place, rule: str) -> None:
    if not pattern.fullmatch(text):
        raise place.error(f"must be a text {rule}, not {shown(text)}")


def _check_json(value: object, place: _Place) -> None:
    """Refuse what TOML can say and JSON cannot: dates, times, NaN and the infinities."""
    if isinstance(value, dict):
        for key, entry in value.items():
            _check_json(entry, place.at(key))
    elif isinstance(value, list):
        for entry in value:
            _check_json(entry, place)
    elif not isinstance(value, str | int | float) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise place.error(f"is {value}, which JSON cannot hold", hint="Write it as a text.")
