"""The console's paths: where each leads, and what goes for all of them.

They are the only ones that a browser opens, so they alone have to beware of what other pages in
it may try: requests under other hosts' names, frames, scripts from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.routing import Route

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.console.doors import is_this_machine
from runpodctl_py.emulator.errors import UNAUTHORIZED, JobApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from runpodctl_py.emulator.console.feed import Feed
    from runpodctl_py.emulator.console.pages import Pages

    Handler = Callable[[Request], Awaitable[Response]]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data: blob:; media-src data: blob:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Site:
    """The whole console.

    Args:
        pages: The page, and the way in.
        feed: What it shows.
    """

    pages: Pages
    feed: Feed

    def routes(self) -> Iterator[Route]:
        """Yields the routes that need no key."""
        yield Route("/", _guarded(self.pages.page), methods=["GET"])
        yield Route("/", _guarded(self.pages.sign_in), methods=["POST"])
        yield Route("/console/{name}", _guarded(self.pages.file), methods=["GET"])
        for path, handler in {
            "events": self.feed.overview,
            "jobs/{endpoint_id}/{job_id}/events": self.feed.job,
            "workers/{worker_id}/log": self.feed.log,
        }.items():
            seen = _guarded(self._for_sessions(handler))
            yield Route(f"/_local/console/{path}", seen, methods=["GET"])

    def _for_sessions(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            if not self.pages.has_session(request):
                return bodies.answer({"error": UNAUTHORIZED}, HTTPStatus.UNAUTHORIZED)
            return await handler(request)

        return answer


def _guarded(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        if not is_this_machine(request.headers.get("host", "")):
            words = "the console is for this machine: open it by 127.0.0.1 or localhost"
            return bodies.answer({"error": words}, HTTPStatus.MISDIRECTED_REQUEST)
        try:
            response = await handler(request)
        except JobApiError as error:
            response = bodies.answer({"error": error.message}, error.status)
        response.headers.update(_HEADERS)
        return response

    return answer


OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "console/tickets": ("tickets", ("POST",)),
}
"""Path below /_local to method of `Pages` and HTTP methods, for who has the key."""
