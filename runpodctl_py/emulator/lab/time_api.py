"""`/_local/time` and `/_local/reset`: virtual time, and an empty local RunPod. Not RunPod's."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.errors import JobApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.lab.passage import Passage
    from runpodctl_py.emulator.lab.reset import Reset

_BODY_LIMIT_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class TimeApi:
    """The operations on time, and on everything at once.

    Args:
        passage: Moves the clock.
        reset: Empties the local RunPod.
    """

    passage: Passage
    reset: Reset

    async def time(self, request: Request) -> Response:
        """GET /_local/time: what the clock shows; POST freezes it, advances it, or lets it run."""
        if request.method == "POST":
            given = bodies.parse_object(await bodies.read(request, _BODY_LIMIT_BYTES))
            if not self.passage.is_movable:
                raise JobApiError(HTTPStatus.CONFLICT, "its clock was handed in by a test")
            try:
                await self._move(given)
            except ValueError as error:
                raise bad_request(str(error)) from error
        reading = self.passage.read()
        return bodies.answer(
            {"now": reading.now, "frozen": reading.frozen, "ahead": reading.ahead_s}
        )

    async def start_over(self, _request: Request) -> Response:
        """POST /_local/reset: forgets everything, and answers when the last worker is gone."""
        await self.reset.carry_out()
        return bodies.answer({"reset": True})

    async def _move(self, given: Mapping[str, Any]) -> None:
        match given.get("action"):
            case "freeze":
                await self.passage.freeze()
            case "advance":
                await self.passage.advance(_seconds(given.get("seconds")))
            case "run":
                await self.passage.run()
            case other:
                raise bad_request(f"action must be freeze, advance or run, not {other!r}")


def _seconds(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise bad_request(f"seconds must be a number, not {given!r}")
    try:
        return float(given)
    except OverflowError as error:
        raise bad_request("seconds is too large") from error


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "time": ("time", ("GET", "POST")),
    "reset": ("start_over", ("POST",)),
}
"""Path below /_local to method of `TimeApi` and HTTP methods."""
