"""RunPod's published contract of REST v2: which requests it allows, and what it says otherwise.

`openapi-v2.json` is made from the published document by docs/reduce_contract.py. Parameters and
bodies are checked against it; what a valid request means is decided elsewhere. The words are
those of RunPod's own validator as far as they were observed (API reference 3.3).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from runpodctl_py.emulator.rest import times
from runpodctl_py.emulator.rest.call import MOST_ON_A_PAGE
from runpodctl_py.emulator.rest.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

PAGING = (
    {"name": "cursor", "schema": {"type": "string"}},
    {"name": "limit", "schema": {"type": "integer", "minimum": 1, "maximum": MOST_ON_A_PAGE}},
)
"""Parameters of every list in RunPod's newer contract, which is not published yet (3.3)."""

_URI = "contract"


class Contract:
    """The requests that the contract allows.

    Args:
        document: The reduced contract.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._registry: Registry[Any] = Registry().with_resource(
            _URI, DRAFT202012.create_resource(document)
        )
        self._formats = FormatChecker(formats=())
        self._formats.checks("date-time", raises=ValueError)(_is_time)

    @classmethod
    def load(cls) -> Contract:
        """Returns the contract that is shipped."""
        path = Path(__file__).with_name("openapi-v2.json")
        return cls(json.loads(path.read_text(encoding="utf-8")))

    def takes_body(self, path: str, method: str) -> bool:
        """Whether an operation has a body."""
        return "requestBody" in self._operation(path, method)

    def check_body(self, path: str, method: str, body: Any) -> None:
        """Checks a body.

        Raises:
            ProblemError: The contract does not allow it; 422.
        """
        content = self._operation(path, method)["requestBody"]["content"]
        if lines := self._lines(content["application/json"]["schema"], body):
            raise invalid(*lines)

    def query(self, path: str, method: str, given: Mapping[str, str]) -> dict[str, Any]:
        """Returns an operation's parameters, with the defaults of those that are left out.

        Parameters that the operation does not know are ignored, as is usual.

        Raises:
            ProblemError: The contract does not allow a value; 422.
        """
        values: dict[str, Any] = {}
        lines: list[str] = []
        for parameter in (*self._operation(path, method).get("parameters", ()), *PAGING):
            name, schema = parameter["name"], self._resolved(parameter["schema"])
            if name not in given:
                if "default" in schema:
                    values[name] = schema["default"]
                continue
            values[name] = _from_text(given[name], schema)
            lines += self._lines(parameter["schema"], values[name], at=name)
        if lines:
            raise invalid(*lines)
        return values

    def _operation(self, path: str, method: str) -> Mapping[str, Any]:
        operation: Mapping[str, Any] = self._document["paths"][path][method.lower()]
        return operation

    def _lines(self, schema: Mapping[str, Any], value: Any, at: str = "$") -> Sequence[str]:
        validator = _Validator(
            _absolute(schema), registry=self._registry, format_checker=self._formats
        )
        failures = [error for each in validator.iter_errors(value) for error in _telling(each)]
        lines = [
            f"{at}{_path(error)}: {words}"
            for error in sorted(failures, key=lambda each: each.validator != "required")
            for words in self._words(error)
        ]
        return tuple(dict.fromkeys(lines))

    def _words(self, error: ValidationError) -> Iterator[str]:
        """Yields what RunPod's validator says of a failure."""
        if error.validator in {"additionalProperties", "unevaluatedProperties"}:
            known = self._known(error.schema)
            body: Any = error.instance
            if unknown := [_quoted(each) for each in body if each not in known]:
                yield f"additional properties {', '.join(unknown)} not allowed"
        else:
            yield _WORDS.get(str(error.validator), _of_the_library)(error)

    def _known(self, schema: Any) -> frozenset[str]:
        """Returns the properties that a schema names anywhere.

        The library takes the properties of a part that fails for unknown ones, so it cannot be
        asked.
        """
        schema = self._resolved(schema)
        parts = (self._known(each) for each in schema.get("allOf", ()))
        return frozenset(schema.get("properties", ())).union(*parts)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in schema:
            return schema
        name = schema["$ref"].rpartition("/")[2]
        resolved: Mapping[str, Any] = self._document["components"]["schemas"][name]
        return resolved


def _check_pattern(
    _validator: object, pattern: str, value: object, _schema: object
) -> Iterator[ValidationError]:
    """Reads a pattern as Go does: classes are of ASCII, and `$` is the end and nothing else."""
    go_pattern = pattern.replace("$", r"\Z")
    if isinstance(value, str) and not re.search(go_pattern, value, re.ASCII):
        yield ValidationError(f"{_quoted(value)} does not match pattern {_quoted(pattern)}")


_Validator = extend(Draft202012Validator, {"pattern": _check_pattern})  # type: ignore[no-untyped-call]


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or isinstance(times.parse(value), float)


def _absolute(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a schema that means the same outside the document."""
    if "$ref" in schema:
        return {"$ref": _URI + schema["$ref"]}
    if "$ref" in schema.get("items", ()):
        return {**schema, "items": _absolute(schema["items"])}
    return schema


def _from_text(text: str, schema: Mapping[str, Any]) -> Any:
    """Returns a parameter's value; a text that is none stays as it is and fails the check."""
    match schema.get("type"):
        case "array":
            return text.split(",") if text else []
        case "integer":
            return int(text) if re.fullmatch(r"-?\d{1,4000}", text, re.ASCII) else text
        case "boolean":
            return {"true": True, "false": False}.get(text, text)
        case _:
            return text


def _telling(error: ValidationError) -> Iterable[ValidationError]:
    """Returns the failures that tell why none of several schemas fits: those of the nearest."""
    if not error.context:
        return (error,)
    branches: dict[Any, list[ValidationError]] = {}
    for each in error.context:
        branches.setdefault(each.schema_path[0], []).append(each)
    return min(branches.values(), key=len)


def _path(error: ValidationError) -> str:
    return "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path
    )


def _quoted(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)


def _of_the_library(error: ValidationError) -> str:
    return str(error.message)


def _missing(error: ValidationError) -> str:
    # One error comes for each missing property, and only its message says which.
    return f"missing property {error.message.partition(' is a required')[0]}"


def _other_type(error: ValidationError) -> str:
    wanted: Any = error.validator_value
    names = wanted if isinstance(wanted, list) else [wanted]
    return f"got {_TYPE_NAMES[type(error.instance)]}, want {' or '.join(names)}"


def _other_value(error: ValidationError) -> str:
    wanted: Any = error.validator_value
    several = "one of " if len(wanted) > 1 else ""
    return f"value must be {several}{', '.join(map(_quoted, wanted))}"


def _out_of_range(error: ValidationError) -> str:
    return f"{error.validator}: got {error.instance}, want {error.validator_value}"


def _wrong_length(error: ValidationError) -> str:
    value: Any = error.instance
    return f"{error.validator}: got {len(value)}, want {error.validator_value}"


def _wrong_format(error: ValidationError) -> str:
    return f"{_quoted(error.instance)} is not valid {error.validator_value}"


_TYPE_NAMES = {
    dict: "object",
    list: "array",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}

_WORDS: Mapping[str, Callable[[ValidationError], str]] = {
    "required": _missing,
    "type": _other_type,
    "enum": _other_value,
    "minimum": _out_of_range,
    "maximum": _out_of_range,
    "minLength": _wrong_length,
    "minItems": _wrong_length,
    "maxItems": _wrong_length,
    "minProperties": _wrong_length,
    "format": _wrong_format,
}
"""What the validator RunPod seems to use, a well-known one in Go, says by keyword."""
