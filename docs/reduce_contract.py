"""Write the part of RunPod's published contract that the local RunPod checks requests with.

python docs/reduce_contract.py [--check]

The published document has a third of a megabyte. Kept are the operations that are emulated, the
parameters and bodies they take, and the schemas those need, without words and examples: what a
request may look like. Answers are checked in the tests, against the whole document.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "tests" / "data" / "openapi-v2.json"
TARGET = ROOT / "runpodctl_py" / "emulator" / "rest" / "openapi-v2.json"

NOT_EMULATED = ("/v2/pods", "/v2/clusters", "/v2/registries/delegations")
METHODS = ("get", "post", "put", "patch", "delete")
WORDS = {"description", "example", "examples", "summary", "title", "discriminator"}
SCHEMA = "#/components/schemas/"


def reduced(published: dict[str, Any]) -> dict[str, Any]:
    """Return the structure of the emulated requests."""
    paths = {
        path: {
            method: request_of(published, operation, item.get("parameters", []))
            for method, operation in item.items()
            if method in METHODS
        }
        for path, item in published["paths"].items()
        if not path.startswith(NOT_EMULATED)
    }
    schemas = published["components"]["schemas"]
    needed: set[str] = set()
    todo = schemas_in(paths)
    while todo:
        name = todo.pop()
        needed.add(name)
        todo |= schemas_in(schemas[name]) - needed
    return {
        "openapi": published["openapi"],
        "info": {"title": published["info"]["title"], "version": published["info"]["version"]},
        "paths": paths,
        "components": {"schemas": {name: structure(schemas[name]) for name in sorted(needed)}},
    }


def request_of(
    published: dict[str, Any], operation: dict[str, Any], shared: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what one operation takes; path parameters are strings and stay away."""
    parameters = [resolved(published, each) for each in (*operation.get("parameters", []), *shared)]
    request: dict[str, Any] = {"operationId": operation["operationId"]}
    if kept := [structure(each) for each in parameters if each["in"] == "query"]:
        request["parameters"] = kept
    if "requestBody" in operation:
        request["requestBody"] = structure(operation["requestBody"])
    return request


def resolved(published: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference stands for."""
    if "$ref" not in value:
        return value
    target: Any = published
    for step in value["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return dict(target)


def structure(value: Any, *, names: bool = False) -> Any:
    """Return a schema without words; under `properties`, keys are names and all of them stay."""
    if isinstance(value, list):
        return [structure(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: structure(inner, names=key == "properties" and not names)
        for key, inner in value.items()
        if names or (key not in WORDS and not key.startswith("x-"))
    }


def schemas_in(value: Any) -> set[str]:
    """Return the names of all schemas that a value refers to."""
    if isinstance(value, list):
        return set().union(*map(schemas_in, value))
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"].removeprefix(SCHEMA)} if isinstance(value.get("$ref"), str) else set()
    return own.union(*map(schemas_in, value.values()))


def contract() -> str:
    """Return the text of the reduced contract."""
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return json.dumps(reduced(published), separators=(",", ":")) + "\n"


def main() -> int:
    """Write the reduced contract, or compare it."""
    if sys.argv[1:] == ["--check"]:
        return int(TARGET.read_text(encoding="utf-8") != contract())
    TARGET.write_text(contract(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
