"""RunPod's limits on how often, and how often at once, the job API may be called (4.3).

Each operation of each endpoint is counted for itself, in a window of 10 s that slides; a request
is open until the last byte of its answer is sent. RunPod's documents leave open whether refused
requests count: here they do not, so that a client that waits a moment gets in. They also raise a
limit to the number of running workers times a number for each worker, which they do not tell;
only the limits that are known apply here. (With the 50 of their example, it would take 41 workers
to raise 2000.)
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import Response

from runpodctl_py.emulator.errors import JobApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from runpodctl_py.emulator.clock import Clock

    Handler = Callable[[Request], Awaitable[Response]]

_WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Limit:
    """What one operation of one endpoint allows.

    Args:
        requests: How many requests within 10 s.
        at_once: How many may be open; None means any number.
    """

    requests: int
    at_once: int | None


LIMITS: Mapping[str, Limit] = {
    "run": Limit(1000, 200),
    "runsync": Limit(2000, 400),
    "status": Limit(2000, 400),
    "status_sync": Limit(2000, 400),
    "stream": Limit(2000, 400),
    "cancel": Limit(100, 20),
    "purge_queue": Limit(2, None),
    "openai": Limit(2000, 400),
    "requests": Limit(10, 2),
}
"""Operation to limit; the others have none that is known.

`status_sync` is in no document; it is a status that waits.
"""


@dataclass(slots=True)
class _Use:
    """What one operation of one endpoint is used for now."""

    times: deque[float] = field(default_factory=deque)
    open: int = 0

    def begin(self, operation: str, limit: Limit, now: float) -> None:
        """Counts a request, or refuses it."""
        while self.times and self.times[0] <= now - _WINDOW_S:
            self.times.popleft()
        if len(self.times) >= limit.requests:
            raise _too_many(f"{operation} takes {limit.requests} requests in {_WINDOW_S:g} s")
        if limit.at_once is not None and self.open >= limit.at_once:
            raise _too_many(f"{operation} takes {limit.at_once} requests at once")
        self.times.append(now)
        self.open += 1


class RateLimits:
    """Counts requests to the job API and refuses those that are too many.

    Args:
        endpoint_ids: The endpoints there are, now and later; requests to others are not counted.
        clock: Where the time comes from.
    """

    def __init__(self, endpoint_ids: Collection[str], clock: Clock) -> None:
        self._endpoint_ids = endpoint_ids
        self._clock = clock
        self._uses: dict[str, dict[str, _Use]] = {}

    def clear(self) -> None:
        """Forgets who asked how often."""
        self._uses.clear()

    def limited(self, operation: str, handler: Handler) -> Handler:
        """Returns a handler that does nothing for requests beyond the limit of an operation."""
        if (limit := LIMITS.get(operation)) is None:
            return handler

        async def counted(request: Request) -> Response:
            with ExitStack() as ending:
                endpoint_id = request.path_params["endpoint_id"]
                ending.enter_context(self.admitted(endpoint_id, operation, limit))
                response = await handler(request)
                return _Sent(response, ending.pop_all().close)

        return counted

    @contextmanager
    def admitted(self, endpoint_id: str, operation: str, limit: Limit) -> Iterator[None]:
        """Counts a request as open until the context ends.

        Raises:
            JobApiError: On entering: it is one too many; 429.
        """
        if endpoint_id not in self._endpoint_ids:
            yield
            return
        use = self._uses_of(endpoint_id).setdefault(operation, _Use())
        use.begin(operation, limit, self._clock.monotonic())
        try:
            yield
        finally:
            use.open -= 1

    def _uses_of(self, endpoint_id: str) -> dict[str, _Use]:
        if endpoint_id not in self._uses:
            # Nobody tells of deleted endpoints; a new one is a good moment to forget them.
            self._uses = {each: self._uses[each] for each in self._uses.keys() & self._endpoint_ids}
            self._uses[endpoint_id] = {}
        return self._uses[endpoint_id]


class _Sent(Response):
    """An answer that says when it has been sent, or cannot be."""

    def __init__(self, response: Response, ended: Callable[[], None]) -> None:
        super().__init__(status_code=response.status_code)
        self._response = response
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._response(scope, receive, send)
        finally:
            self._ended()


def _too_many(message: str) -> JobApiError:
    return JobApiError(HTTPStatus.TOO_MANY_REQUESTS, f"too many requests: {message}")
