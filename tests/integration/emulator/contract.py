"""RunPod's published contract of REST v2, and a client that holds every answer against it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

if TYPE_CHECKING:
    import httpx

PUBLISHED = Path(__file__).parents[2] / "data" / "openapi-v2.json"
DOCUMENT: dict[str, Any] = json.loads(PUBLISHED.read_text(encoding="utf-8"))

_REGISTRY: Registry[Any] = Registry().with_resource(
    "contract", DRAFT202012.create_resource(DOCUMENT)
)
_FORMATS = FormatChecker(formats=["date-time"])
_UNAUTHENTICATED = {401}


class Rest:
    """A client of REST v2; an answer that the published contract does not know fails the test.

    Args:
        http: What sends the requests, with the key.
    """

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Sends a request and returns the answer, checked."""
        if body is not None:
            options["json"] = body
        answer = self.http.request(method, path, **options)
        check(answer)
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """Returns what must be there."""
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> Any:
        """Returns what must have been made."""
        answer = self.ask("POST", path, body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def patch(self, path: str, body: Any) -> Any:
        """Returns what must have been changed."""
        answer = self.ask("PATCH", path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def delete(self, path: str) -> None:
        """Deletes what must be there."""
        answer = self.ask("DELETE", path)
        assert (answer.status_code, answer.content) == (204, b"")

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """Returns status and problem of a request that must fail."""
        answer = self.ask(method, path, body, **options)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()


def check(answer: httpx.Response) -> None:
    """Fails unless the contract allows the answer: its status, its type and its body."""
    operation = _operation(answer.request.method, answer.request.url.path)
    if answer.status_code not in _UNAUTHENTICATED:
        assert {"ratelimit", "ratelimit-policy", "x-request-id"} <= set(answer.headers)
    if operation is None:
        assert answer.status_code in {401, 404, 405, 501}, answer.text
        _check_body(answer, {"$ref": "#/components/schemas/ErrorResponse"})
        return
    said = _resolved(
        operation["responses"].get(str(answer.status_code), operation["responses"]["default"])
    )
    if "content" not in said:
        assert answer.content == b""
        return
    [(media_type, content)] = said["content"].items()
    assert answer.headers["content-type"] == media_type
    _check_body(answer, content["schema"])


def _check_body(answer: httpx.Response, schema: dict[str, Any]) -> None:
    if "$ref" in schema:
        schema = {"$ref": "contract" + schema["$ref"]}
    validator = Draft202012Validator(schema, registry=_REGISTRY, format_checker=_FORMATS)
    errors = [f"{each.json_path}: {each.message}" for each in validator.iter_errors(answer.json())]
    assert errors == [], answer.text


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for known, item in sorted(DOCUMENT["paths"].items(), key=lambda each: "{" in each[0]):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path):
            found: dict[str, Any] | None = item.get(method.lower())
            return found
    return None


def _resolved(value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    response: dict[str, Any] = DOCUMENT["components"]["responses"][value["$ref"].rpartition("/")[2]]
    return response
