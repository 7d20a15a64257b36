"""How a server that stands in for RunPod says no: in the form of the API that was asked.

Knows the forms only; why something is refused, `replaying.py` and `forwarding.py` say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.lab.paths import is_graphql, is_rest
from runpodctl_py.emulator.rest.problems import ProblemError

if TYPE_CHECKING:
    from http import HTTPStatus

    from starlette.responses import Response


def refusal(path: str, status: HTTPStatus, words: str) -> Response:
    """Returns an answer that says no.

    Args:
        path: What was asked.
        status: The HTTP status.
        words: Why, for a person.
    """
    error: dict[str, Any]
    if is_graphql(path):
        error = {"message": words, "extensions": {"code": "RUNPOD"}}
        return bodies.answer({"errors": [error], "data": None}, status)
    if is_rest(path):
        return ProblemError(status, words).answer()
    if "/openai/" in path:
        error = {"message": words, "type": status.phrase, "code": status, "param": None}
        return bodies.answer({"error": error}, status)
    return bodies.answer({"error": words}, status)
