"""The console's files, and the way in: the page, signing in, tickets.

Without a session `/` is a page that says how to get one. Scripts and styles tell nothing about
anybody's jobs and need none. What the page shows comes from `feed.py`.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, Response

from runpodctl_py.emulator import bodies
from runpodctl_py.emulator.console.doors import SESSION_S, TICKET_S

if TYPE_CHECKING:
    from starlette.requests import Request

    from runpodctl_py.emulator.console.doors import Doors

_STATIC = Path(__file__).with_name("static")
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_BODY_LIMIT_BYTES = 10_000
_NOTICE = "<!-- notice -->"
_USED = '<p class="notice">That link was used before, or is older than a minute.</p>'
_WRONG = '<p class="notice">That is not the key of this local RunPod.</p>'
_LET_IN = """<!doctype html>
<meta charset="utf-8">
<title>local RunPod</title>
<link rel="icon" href="/console/icon.svg" type="image/svg+xml">
<a href="/">Go on</a>
"""
_NEVER_KEPT = {"Cache-Control": "no-store"}


class Pages:
    """Serves the page to who may see it.

    Args:
        doors: Who that is.
    """

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        # All at once, and never again: an update of this package must not be met half-way.
        self._page = (_STATIC / "index.html").read_bytes()
        self._way_in = (_STATIC / "sign-in.html").read_text("utf-8")
        self._files = {
            path.name: path.read_bytes()
            for path in _STATIC.iterdir()
            if path.suffix in _MEDIA_TYPES
        }

    async def page(self, request: Request) -> Response:
        """GET /: the console; with `?ticket=`, a session first; without either, the way in."""
        ticket = request.query_params.get("ticket")
        if ticket is not None and self._doors.use_ticket(ticket):
            return self._let_in(request)
        if not self.has_session(request):
            return self._sign_in_page(_USED if ticket is not None else "")
        if ticket is not None:
            return _go_on()
        return HTMLResponse(self._page, headers=_NEVER_KEPT)

    async def sign_in(self, request: Request) -> Response:
        """POST /: a session for who has the key."""
        body = await bodies.read(request, _BODY_LIMIT_BYTES)
        (key, *_) = parse_qs(body.decode(errors="replace")).get("key", [""])
        if not self._doors.is_key(key.strip()):
            return self._sign_in_page(_WRONG)
        return self._let_in(request)

    async def file(self, request: Request) -> Response:
        """GET /console/{name}: a script, a style, or the icon."""
        name = request.path_params["name"]
        if (content := self._files.get(name)) is None:
            return bodies.answer({"error": "not found"}, HTTPStatus.NOT_FOUND)
        # After an update of this package the browser must not keep half of the former page.
        headers = {"Cache-Control": "no-cache"}
        return Response(content, media_type=_MEDIA_TYPES[Path(name).suffix], headers=headers)

    async def tickets(self, _request: Request) -> Response:
        """POST /_local/console/tickets: a ticket for who has the key."""
        ticket = self._doors.issue_ticket()
        return bodies.answer({"path": f"/?ticket={ticket}", "goodForSeconds": TICKET_S})

    def has_session(self, request: Request) -> bool:
        """Returns whether a request comes with a session."""
        return self._doors.admits(request.cookies.get(_cookie(request), ""))

    def _sign_in_page(self, notice: str) -> Response:
        text = self._way_in.replace(_NOTICE, notice)
        return HTMLResponse(text, HTTPStatus.UNAUTHORIZED, headers=_NEVER_KEPT)

    def _let_in(self, request: Request) -> Response:
        response = _go_on()
        response.set_cookie(
            _cookie(request),
            self._doors.open_session(),
            max_age=int(SESSION_S),
            httponly=True,
            samesite="strict",
        )
        return response


def _go_on() -> Response:
    # Not a redirect: after one that began with a link of another site, the browser would not send
    # a strict cookie that it has just been given.
    return HTMLResponse(_LET_IN, headers={**_NEVER_KEPT, "Refresh": "0; url=/"})


def _cookie(request: Request) -> str:
    """Returns the cookie's name: with the port, because cookies do not know ports."""
    _, port = request.scope["server"]
    return f"runpodctl_console_{port}"
