"""One call of a REST operation, and the answers that several operations give alike.

Between `api.py`, which makes calls of requests, and the modules of the operations.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import Response

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.rest.problems import invalid, not_found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

T = TypeVar("T")

MOST_ON_A_PAGE = 1000
"""How much a list returns at once, and unless it is asked for less (API reference 3.3)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that the contract allows.

    Args:
        path: The parameters of the path.
        query: Those of the query, with their defaults.
        body: The body; None for operations without.
        request: The request it came with.
    """

    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any
    request: Request

    @property
    def base_url(self) -> str:
        """Where the client reaches this emulator, without a slash at its end."""
        return str(self.request.base_url).rstrip("/")


def found(resources: Mapping[str, T], resource_id: str) -> T:
    """Returns a resource by its id.

    Raises:
        ProblemError: There is none; 404.
    """
    if resource_id not in resources:
        raise not_found()
    return resources[resource_id]


def created(shape: Mapping[str, Any]) -> Response:
    """Returns the answer of an operation that made something."""
    return bodies.answer(shape, HTTPStatus.CREATED)


def deleted() -> Response:
    """Returns the answer of an operation that deleted something."""
    return Response(status_code=HTTPStatus.NO_CONTENT)


def listed(call: Call, name: str, shapes: Sequence[Any], **others: Any) -> Response:
    """Returns a page of a list.

    The published contract knows no pages and allows further properties; the newer one has them
    on every list (API reference 3.3).

    Raises:
        ProblemError: The cursor is none of ours; 422.
    """
    start = _offset(call.query.get("cursor"))
    end = start + call.query.get("limit", MOST_ON_A_PAGE)
    following = _cursor(end) if end < len(shapes) else None
    pagination = {"nextCursor": following, "hasNextPage": following is not None}
    return bodies.answer({name: shapes[start:end], **others, "pagination": pagination})


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(str(offset).encode()).decode()


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        offset = int(base64.urlsafe_b64decode(cursor.encode()))
    except ValueError:
        offset = -1
    if offset < 0 or _cursor(offset) != cursor:
        raise invalid(f"cursor: '{cursor}' is no cursor of this list")
    return offset
