"""/_local/faults: which faults are set, setting and clearing them."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.errors import JobApiError, bad_request
from runpodctl_py.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.lab.faults import Faults, Tally

_BODY_LIMIT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class FaultApi:
    """The operations on faults.

    Args:
        known: The faults that are set.
    """

    known: Faults

    async def faults(self, request: Request) -> Response:
        """GET lists the faults, POST adds some, PUT sets others in their place, DELETE clears all.

        What is added is answered with POST, and what is set with all others.
        """
        if request.method == "GET":
            return _listed(self.known)
        if request.method == "DELETE":
            self.known.clear()
            return _listed(self.known)
        texts = _texts(bodies.parse_object(await bodies.read(request, _BODY_LIMIT_BYTES)))
        try:
            if request.method == "POST":
                return _listed(self.known.add(texts))
            return _listed(self.known.replace(texts))
        except UsageError as error:
            raise bad_request(f"{error.message}. {error.hint}") from error

    async def fault(self, request: Request) -> Response:
        """DELETE /_local/faults/{name}: clears one, by its id or its text."""
        try:
            self.known.remove([request.path_params["name"]])
        except NotFoundError as error:
            raise JobApiError(HTTPStatus.NOT_FOUND, error.message) from error
        return _listed(self.known)


def _listed(tallies: Iterable[Tally]) -> Response:
    return bodies.answer({"faults": [_shape(each) for each in tallies]})


def _shape(tally: Tally) -> dict[str, Any]:
    return {
        "id": tally.id,
        "fault": tally.fault.text,
        "seen": tally.seen,
        "struck": tally.struck,
    }


def _texts(given: Mapping[str, Any]) -> list[str]:
    texts = given.get("faults")
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise bad_request('"faults" is not a list of texts')
    return texts


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "faults": ("faults", ("GET", "POST", "PUT", "DELETE")),
    "faults/{name:path}": ("fault", ("DELETE",)),
}
"""Path below /_local to method of `FaultApi` and HTTP methods."""
