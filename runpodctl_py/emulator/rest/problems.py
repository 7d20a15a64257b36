"""How REST v2 says no: RFC 9457 problem details in RunPod's words (API reference 3.3).

Raised by whatever part of REST knows the fact, turned into an answer by `api.py`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response

from runpodctl_py.emulator import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEDIA_TYPE = "application/problem+json"

_TITLES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Entity",
}
"""Where Python's phrase depends on its version."""


class ProblemError(Exception):
    """A refusal.

    Args:
        status: The HTTP status.
        detail: What is wrong, for a person.
        errors: The single failures of a validation.
        headers: What else the answer carries.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def answer(self) -> Response:
        """Returns what the client gets."""
        body = {
            "title": _TITLES.get(self.status, self.status.phrase),
            "status": self.status,
            "detail": self.detail,
            **({"errors": self.errors} if self.errors else {}),
        }
        return Response(
            json_text.dump(body), self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


def unauthorized() -> ProblemError:
    """Returns the refusal of a request without the account's key as a bearer token."""
    return ProblemError(
        HTTPStatus.UNAUTHORIZED, "missing bearer token", headers={"WWW-Authenticate": "Bearer"}
    )


def forbidden() -> ProblemError:
    """Returns the refusal of a key that is good for something else only."""
    return ProblemError(HTTPStatus.FORBIDDEN, "access denied")


def not_found() -> ProblemError:
    """Returns the refusal for whatever does not exist."""
    return ProblemError(HTTPStatus.NOT_FOUND, "resource not found")


def refused(detail: str) -> ProblemError:
    """Returns the refusal of a well-formed request that breaks a rule."""
    return ProblemError(HTTPStatus.BAD_REQUEST, detail)


def invalid(*errors: str) -> ProblemError:
    """Returns the refusal of a request that the contract does not allow (observed)."""
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Request validation failed.", errors=errors
    )


def method_not_allowed(allowed: Sequence[str]) -> ProblemError:
    """Returns the refusal of a method, with those that are allowed."""
    return ProblemError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "The requested method is not allowed for this path.",
        headers={"Allow": ", ".join(allowed)},
    )


def not_emulated(what: str) -> ProblemError:
    """Returns what is said about the parts of RunPod that are not here: better than a fake."""
    return ProblemError(HTTPStatus.NOT_IMPLEMENTED, f"not emulated: {what}")
