"""Webhooks: a job that is final is told to the URL its client gave (API reference 4.2).

`Deliveries` knows what is owed to whom and when, and keeps it in the store; `Postman` posts it.
What RunPod's documents say is in the reference: the body of /status, three tries, 10 s apart, and
nothing but 200 is a receipt. Where they are silent, this is how it is here:

- Every final state is told, CANCELLED like the others. A job that its time to live ends before it
  is final has no state to tell.
- The body is what /status shows at that moment, even if the job is retried or deleted before the
  last try; a retried job is told again when it is final again.
- A receiver that gets the same body twice lost its receipt: a restart of the emulator repeats the
  try that it interrupted.
- Redirects are not followed, and no proxy of the environment is used: receivers are programs on
  this machine more often than not, and no proxy could reach them.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runpodctl_py.emulator import json_text
from runpodctl_py.emulator.bells import TIME, WEBHOOKS
from runpodctl_py.emulator.jobs.shape import shape
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import httpx

    from runpodctl_py.emulator.bells import Bells
    from runpodctl_py.emulator.clock import Clock
    from runpodctl_py.emulator.ids import Ids
    from runpodctl_py.emulator.jobs.job import Job
    from runpodctl_py.emulator.store import Snapshot, Store

_KIND = "delivery"
"""What the store calls it."""

_FIELDS = ("webhook", "webhookV2")
_TRIES = 3
_PAUSE_S = 10.0
_AT_ONCE = 32
_TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one receiver.

    Args:
        id: Its own, because a job may be told to two receivers, and more than once.
        job_id: Whose end it tells.
        url: Where it goes.
        body: JSON text.
        due_at: When the next try is due, in seconds since 1970.
        failures: How many tries there were.
    """

    id: str
    job_id: str
    url: str
    body: str
    due_at: float
    failures: int = 0


class Deliveries:
    """Everything that receivers have not acknowledged yet.

    Args:
        store: What outlives a restart.
        kept: What it held at the start.
        clock: Where the time comes from.
        ids: Makes the ids.
        ring: Called with `WEBHOOKS` when something is added.
    """

    def __init__(
        self,
        store: Store,
        kept: Snapshot,
        clock: Clock,
        ids: Ids,
        ring: Callable[[str], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._ring = ring
        self._handed_out: dict[str, Delivery] = {}
        self._order = count()
        self._waiting: list[tuple[float, int, Delivery]] = []
        for fields in kept.of(_KIND):
            self._wait(Delivery(**fields))

    def owe(self, job: Job) -> None:
        """Notes that a job's receivers, if it has any, are to learn that it is final."""
        for url in _receivers(job):
            body = json_text.dump(shape(job))
            self._keep(Delivery(self._ids.delivery(), job.id, url, body, self._clock.now()))

    def take_due(self, limit: int) -> list[Delivery]:
        """Hands out what is due, at most `limit`; each ends with `delivered` or `failed`.

        What is handed out stays in the store until then.
        """
        taken: list[Delivery] = []
        while len(taken) < limit and self._waiting and self._waiting[0][0] <= self._clock.now():
            taken.append(heapq.heappop(self._waiting)[-1])
            self._handed_out[taken[-1].id] = taken[-1]
        return taken

    def delivered(self, delivery: Delivery) -> None:
        """Notes that the receiver has it."""
        if self._was_handed_out(delivery):
            self._store.drop(_KIND, delivery.id)

    def failed(self, delivery: Delivery, problem: str) -> None:
        """Notes that a try came to nothing: it is due again after a pause, or given up."""
        if not self._was_handed_out(delivery):
            return
        failures = delivery.failures + 1
        _log.warning(
            "webhook of job %s to %s: %s (try %d of %d)",
            delivery.job_id,
            urlsplit(delivery.url).hostname,
            problem,
            failures,
            _TRIES,
        )
        if failures == _TRIES:
            self._store.drop(_KIND, delivery.id)
        else:
            due_at = self._clock.now() + _PAUSE_S
            self._keep(replace(delivery, failures=failures, due_at=due_at))

    def next_due_s(self) -> float | None:
        """Returns in how many seconds `take_due` has something to hand out, if ever."""
        return self._waiting[0][0] - self._clock.now() if self._waiting else None

    def real_wait_s(self) -> float | None:
        """Returns how many of the machine's seconds that takes, as the clock runs now."""
        return self._clock.real_s(self.next_due_s())

    @property
    def under_way(self) -> bool:
        """Whether there is a try going on, or one that is due."""
        due_s = self.next_due_s()
        return bool(self._handed_out) or (due_s is not None and due_s <= 0)

    def clear(self) -> None:
        """Forgets everything, tries that go on among it; the store has been emptied."""
        self._waiting.clear()
        self._handed_out.clear()

    def _was_handed_out(self, delivery: Delivery) -> bool:
        """Takes back what was handed out; nothing, if all was forgotten meanwhile.

        With a seed another delivery may have the same id by now.
        """
        if self._handed_out.get(delivery.id) is not delivery:
            return False
        del self._handed_out[delivery.id]
        return True

    def _keep(self, delivery: Delivery) -> None:
        self._store.put(_KIND, delivery.id, asdict(delivery))
        self._wait(delivery)
        self._ring(WEBHOOKS)

    def _wait(self, delivery: Delivery) -> None:
        heapq.heappush(self._waiting, (delivery.due_at, next(self._order), delivery))


def _receivers(job: Job) -> Sequence[str]:
    """Returns the URLs a job's client gave; one that cannot be used is noted in the log."""
    # Most jobs have none, and there may be hundreds of jobs a second.
    if job.request.keys().isdisjoint(_FIELDS):
        return ()
    return list(dict.fromkeys(_usable(job)))


def _usable(job: Job) -> Iterator[str]:
    for name in _FIELDS:
        url = job.request.get(name)
        if isinstance(url, str) and _is_web_address(url):
            yield url
        elif url:
            _log.warning("the %s of job %s is not an http or https URL", name, job.id)


def _is_web_address(url: str) -> bool:
    with suppress(ValueError):
        parts = urlsplit(url)
        # A lone surrogate can neither be sent nor logged.
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isprintable()
    return False


class Postman:
    """Posts what is due, many at once, so that no receiver waits for another one.

    Args:
        deliveries: What there is to post.
        bells: What tells of more.
        timeout_s: How long a receiver may take for its whole answer.
    """

    def __init__(
        self, deliveries: Deliveries, bells: Bells, *, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._deliveries = deliveries
        self._bells = bells
        self._timeout_s = timeout_s
        self._free = _AT_ONCE

    async def run(self) -> None:
        """Posts until it is cancelled; what that interrupts is still owed."""
        with self._bells.listen(WEBHOOKS, TIME) as bell:
            while self._deliveries.next_due_s() is None:
                bell.clear()
                await bell.wait()
            # Only now: whoever uses no webhook need not wait for this import.
            import httpx

            # A kept connection might be closed by the receiver that very moment, at the cost of a
            # try; and without its pool httpx posts 2000 messages in 5 s instead of 11 s.
            limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=0)
            async with (
                httpx.AsyncClient(
                    trust_env=False, timeout=self._timeout_s, limits=limits
                ) as client,
                asyncio.TaskGroup() as tries,
            ):
                while True:
                    bell.clear()
                    for delivery in self._deliveries.take_due(self._free):
                        self._free -= 1
                        tries.create_task(self._try(client, delivery))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._wait_s()):
                            await bell.wait()

    def _wait_s(self) -> float | None:
        """Returns when to look again; with all hands full, only the end of a try matters."""
        return self._deliveries.real_wait_s() if self._free else None

    async def _try(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        problem = await self._post(client, delivery)
        try:
            if problem is None:
                self._deliveries.delivered(delivery)
            else:
                self._deliveries.failed(delivery, problem)
        except EmulatorError as error:
            _log.warning("%s; the webhook is tried again at the next start", error)
        self._free += 1
        self._bells.ring(WEBHOOKS)

    async def _post(self, client: httpx.AsyncClient, delivery: Delivery) -> str | None:
        """Makes one try; returns what went wrong, if anything did."""
        import httpx

        headers = {"Content-Type": "application/json", "Connection": "close"}
        try:
            async with (
                # httpx's own limit starts again with each byte.
                asyncio.timeout(self._timeout_s),
                client.stream(
                    "POST", delivery.url, content=delivery.body, headers=headers
                ) as answer,
            ):
                # Nobody reads it, but receivers stumble over connections that close too early.
                async for _ in answer.aiter_raw():
                    pass
        except (TimeoutError, httpx.TimeoutException):
            return f"no whole answer within {self._timeout_s:g} s"
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        except Exception:  # noqa: BLE001 - OverflowError, InvalidURL …: odd URLs raise anything.
            return "the URL cannot be used"
        return None if answer.status_code == HTTPStatus.OK else f"answered {answer.status_code}"
