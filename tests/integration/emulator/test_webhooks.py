"""Webhooks as their receivers see them: real HTTP, good receivers and bad ones."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.bells import Bells
from runpodctl_py.emulator.ids import Ids
from runpodctl_py.emulator.jobs.job import Job
from runpodctl_py.emulator.jobs.webhooks import WEBHOOKS, Deliveries, Postman
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager

    from conftest import Client, Stage

_PATIENCE_S = 20


class Server(ThreadingHTTPServer):
    """An HTTP server that does not turn away many clients at once."""

    request_queue_size = 64


class Receiver:
    """An HTTP server that notes what it is sent and answers as the test says."""

    def __init__(self) -> None:
        self.got: queue.Queue[dict[str, Any]] = queue.Queue()
        self.answers: list[int | str] = []
        """What it answers next: a status, "nothing", or "half" an answer; 200 when it is empty."""
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.put(
                    {"path": self.path, "type": self.headers["Content-Type"], "body": body}
                )
                receiver.answer(self)

            def log_message(self, *_: object) -> None:
                """Stays silent."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers a request."""
        how = self.answers.pop(0) if self.answers else 200
        if how == "nothing":
            self.released.wait(_PATIENCE_S)
            handler.close_connection = True
            return
        handler.send_response(200 if isinstance(how, str) else how)
        handler.send_header("Location", f"{self.url}/elsewhere")
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        if how == "half":
            self.released.wait(_PATIENCE_S)
        elif how != 204:
            handler.wfile.write(b"ok")

    def next(self) -> dict[str, Any]:
        """Waits for the next message."""
        return self.got.get(timeout=_PATIENCE_S)

    def close(self) -> None:
        """Lets go of whoever hangs, and ends."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that answers 200 unless told otherwise."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@dataclass
class Office:
    """Deliveries and who posts them, with a clock that only the test moves."""

    clock: FakeClock
    bells: Bells
    deliveries: Deliveries
    store: SqliteStore

    def owe(self, url: str) -> Job:
        """Ends a job whose client wants to be told."""
        now = self.clock.now()
        job = Job(
            id=f"{url}-u1",
            endpoint_id="e",
            request={"input": {}, "webhook": url},
            created_at=now,
            queued_at=now,
        )
        job = job.assigned("w", now).finished({"output": "done"}, now)
        self.deliveries.owe(job)
        return job

    def owed(self) -> int:
        """Counts what nobody has acknowledged."""
        return len(self.store.load().of("delivery"))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until tries that ended have made a condition true."""
        with self.bells.listen(WEBHOOKS) as bell:
            async with asyncio.timeout(_PATIENCE_S):
                while not condition():
                    bell.clear()
                    await bell.wait()

    def advance(self, seconds: float) -> None:
        """Lets time pass, and wakes whoever waits for it."""
        self.clock.advance(seconds)
        self.bells.ring(WEBHOOKS)

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[None]:
        """Has somebody post what is owed."""
        posting = asyncio.create_task(Postman(self.deliveries, self.bells, **options).run())
        yield
        posting.cancel()
        with suppress(asyncio.CancelledError):
            await posting


@pytest.fixture
def office() -> Iterator[Office]:
    """Nothing is owed yet."""
    clock, bells, store = FakeClock(), Bells(), SqliteStore(":memory:")
    yield Office(clock, bells, Deliveries(store, store.load(), clock, Ids(), bells.ring), store)
    store.close()


@pytest.mark.proves("rule: webhooks")
def test_the_receiver_gets_what_status_shows(
    client: Client, stage: Stage, receiver: Receiver
) -> None:
    """As JSON, once."""
    endpoint_id, puppet = stage.on_duty()
    job_id = client.run(endpoint_id, {}, webhook=f"{receiver.url}/done?of=mine")
    puppet.take()
    puppet.done(job_id, json.dumps({"output": {"text": "fertig \ud83d\ude42"}}))
    message = receiver.next()
    assert (message["path"], message["type"]) == ("/done?of=mine", "application/json")
    assert json.loads(message["body"]) == client.status(endpoint_id, job_id)
    client.delete(endpoint_id)
    assert receiver.got.empty()


@pytest.mark.proves("rule: webhook-retries")
@pytest.mark.anyio
async def test_two_more_tries_ten_seconds_apart(office: Office, receiver: Receiver) -> None:
    """All three say the same, and 200 ends it."""
    receiver.answers = [500, 500]
    bodies = []
    async with office.open():
        office.owe(receiver.url)
        for _ in range(2):
            bodies.append((await asyncio.to_thread(receiver.next))["body"])
            await office.until(lambda: office.deliveries.next_due_s() == 10)
            office.advance(10)
        bodies.append((await asyncio.to_thread(receiver.next))["body"])
        await office.until(lambda: office.owed() == 0)
    assert len(set(bodies)) == 1
    assert json.loads(bodies[0])["output"] == "done"


@pytest.mark.proves("rule: webhook-retries")
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (500, "answered 500"),
        (302, "answered 302"),
        (204, "answered 204"),
        ("nothing", "no whole answer within 0.3 s"),
        ("half", "no whole answer within 0.3 s"),
    ],
)
async def test_nothing_but_a_200_is_a_receipt(
    office: Office,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    answer: int | str,
    words: str,
) -> None:
    """Not another success, not a redirect, not silence; after the third try it is given up."""
    receiver.answers = [answer] * 3
    async with office.open(timeout_s=0.3):
        office.owe(receiver.url)
        for _ in range(2):
            await office.until(lambda: office.deliveries.next_due_s() == 10)
            office.advance(10)
        await office.until(lambda: office.owed() == 0)
    assert [each.partition(": ")[2] for each in caplog.messages] == [
        f"{words} (try {number} of 3)" for number in (1, 2, 3)
    ]
    assert {receiver.next()["path"] for _ in range(3)} == {"/"}
    assert receiver.got.empty()


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://127.0.0.1:99999/", "http://a..b/"])
async def test_nobody_there_is_a_failed_try(office: Office, url: str) -> None:
    """So is a URL that only turns out to be none when it is used."""
    async with office.open():
        office.owe(url)
        await office.until(lambda: office.deliveries.next_due_s() == 10)


@pytest.mark.anyio
async def test_a_hanging_receiver_delays_no_other(office: Office, receiver: Receiver) -> None:
    """Whoever stops meanwhile is not delayed either, and the message is still owed."""
    receiver.answers = ["nothing"]
    async with office.open():
        office.owe(f"{receiver.url}/hangs")
        assert (await asyncio.to_thread(receiver.next))["path"] == "/hangs"
        office.owe(f"{receiver.url}/answers")
        assert (await asyncio.to_thread(receiver.next))["path"] == "/answers"
        await office.until(lambda: office.owed() == 1)
    (kept,) = office.store.load().of("delivery")
    assert (kept["url"], kept["failures"]) == (f"{receiver.url}/hangs", 0)


@pytest.mark.anyio
async def test_some_tens_are_posted_at_once(office: Office, receiver: Receiver) -> None:
    """The rest waits for one of them to end."""
    receiver.answers = ["nothing"] * 32
    async with office.open():
        for number in range(40):
            office.owe(f"{receiver.url}/{number}")
        for _ in range(32):
            await asyncio.to_thread(receiver.next)
        assert receiver.got.empty()
        assert office.deliveries.next_due_s() == 0
        receiver.released.set()
        paths = {(await asyncio.to_thread(receiver.next))["path"] for _ in range(8)}
        await office.until(lambda: office.deliveries.next_due_s() == 10)
    assert paths == {f"/{number}" for number in range(32, 40)}


@pytest.mark.anyio
async def test_no_proxy_stands_between(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy for the internet could not reach a receiver on this machine."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with office.open():
        office.owe(receiver.url)
        await asyncio.to_thread(receiver.next)
        await office.until(lambda: office.owed() == 0)


@pytest.mark.proves("rule: webhook-retries")
def test_the_next_emulator_delivers_what_is_owed(
    start: Callable[..., AbstractContextManager[Client]], receiver: Receiver
) -> None:
    """The receiver hangs, the emulator goes; the next one on the folder tells it the same."""
    receiver.answers = ["nothing"]
    with start() as client:
        endpoint_id = client.endpoint("puppet", workersMax=0)
        job_id = client.run(endpoint_id, {}, webhook=receiver.url)
        client.http.post(f"/v2/{endpoint_id}/cancel/{job_id}")
        first = receiver.next()["body"]
    with start():
        assert receiver.next()["body"] == first
    assert json.loads(first) == {"id": job_id, "status": "CANCELLED"}


@pytest.mark.proves("rule: webhook-retries")
def test_the_tries_follow_the_emulators_clock(
    start_with: Callable[..., AbstractContextManager[Client]],
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[[Callable[[], Any]], None],
) -> None:
    """Twenty seconds of it pass at once; what wakes the postman here is another message."""
    clock = FakeClock()
    receiver.answers = [500, 500]
    with start_with(clock=clock) as client, closing(Receiver()) as other:
        endpoint_id = client.endpoint("none", workersMax=0)

        def tell(url: str) -> None:
            job_id = client.run(endpoint_id, {}, webhook=url)
            client.http.post(f"/v2/{endpoint_id}/cancel/{job_id}")

        tell(receiver.url)
        first = receiver.next()
        for tries in (1, 2):
            eventually(lambda tries=tries: len(caplog.messages) == tries)
            clock.advance(9.9)
            tell(other.url)
            other.next()
            assert receiver.got.empty()
            clock.advance(0.1)
            tell(other.url)
            assert receiver.next() == first
            other.next()
