"""Bodies in and out: reading a request's bytes within a limit, answering in JSON.

Shared by all APIs of the emulator; knows none of their shapes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from runpodctl_py.emulator import json_text
from runpodctl_py.emulator.errors import JobApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request


async def read(request: Request, limit_bytes: int) -> bytes:
    """Returns a request's body.

    Raises:
        JobApiError: It is larger than the limit; 413.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit_bytes:
            raise JobApiError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the body is larger than {limit_bytes} bytes",
            )
    return bytes(body)


def parse_object(body: bytes, parse: Callable[[bytes], Any] = json_text.parse) -> dict[str, Any]:
    """Returns the JSON object a body holds, whatever its content type says (5.2).

    Raises:
        JobApiError: It holds something else; 400.
    """
    try:
        value = parse(body)
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise bad_request("the body is not a JSON object")
    return value


def answer(value: Any, status: int = HTTPStatus.OK) -> Response:
    """Returns a JSON answer."""
    return Response(json_text.dump(value), status, media_type="application/json")
