"""A day recorded on a local RunPod, and played again without it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from http import client as http_client
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from runpodctl_py.emulator.bells import Bells
from runpodctl_py.emulator.lab.exchange_api import ExchangeApi
from runpodctl_py.emulator.lab.forwarding import Hosts, forwarding
from runpodctl_py.emulator.lab.recording import Recording
from runpodctl_py.emulator.lab.tap import Tap
from runpodctl_py.emulator.lab.transcript import (
    Answer,
    Body,
    Exchange,
    Request,
    TranscriptFile,
    header,
    read,
)
from runpodctl_py.emulator.serving import serving
from runpodctl_py.emulator.threaded import Threaded
from runpodctl_py.errors import ConflictError, EmulatorError
from runpodctl_py.testing import LocalRunPodServer, ReplayServer, Simulation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from conftest import Client
    from starlette.requests import Request as StarletteRequest

SCRIPT = Path(__file__).with_name("clients") / "recorded_client.py"
ENDPOINT = {
    "name": "any",
    "image": "any",
    "type": "QUEUE",
    "gpu": {"pools": ["AMPERE_16"]},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
}


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[LocalRunPodServer]:
    """A local RunPod whose workers answer at once."""
    with LocalRunPodServer(tmp_path / "local", simulation=Simulation()) as server:
        yield server


def http(server: LocalRunPodServer | ReplayServer) -> httpx.Client:
    """Returns a client that follows nothing and repeats nothing."""
    key = {"Authorization": f"Bearer {server.token}"}
    return httpx.Client(base_url=server.url, headers=key, timeout=30)


def day(server: LocalRunPodServer | ReplayServer) -> Any:
    """Does what RunPod's Python package does in a day, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={"HOME": os.environ["HOME"], "PATH": os.environ["PATH"], **server.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_day_of_the_official_client_is_played_again(
    simulated: LocalRunPodServer, tmp_path: Path
) -> None:
    """The same ids and outputs without a RunPod, and nothing secret in the file."""
    path = tmp_path / "day.jsonl"
    with simulated.record(path):
        lived = day(simulated)
    text = path.read_text()
    assert "MARKER" not in text
    assert simulated.token not in text
    assert simulated.url not in text
    with ReplayServer(path) as replay:
        assert day(replay) == lived
        assert (replay.missed, replay.answered) == ((), len(read(path).exchanges))


def chat(base_url: str, key: str) -> list[Any]:
    """Asks a language model with OpenAI's client, in one piece and streamed."""
    with openai.OpenAI(api_key=key, base_url=base_url, max_retries=0) as model:
        asked: Any = {"model": "org/model", "messages": [{"role": "user", "content": "one two"}]}
        whole = model.chat.completions.create(**asked)
        words = [
            each.choices[0].delta.content
            for each in model.chat.completions.create(**asked, stream=True)
        ]
        try:
            model.chat.completions.create(
                model="org/model", messages=[{"role": "user", "content": "raise"}]
            )
        except openai.InternalServerError as error:
            return [whole.choices[0].message.content, words, error.type]
        return []


def test_a_conversation_is_played_again(client: Client, tmp_path: Path) -> None:
    """With streams, and with the errors of the worker."""
    endpoint_id, path = client.endpoint("like_vllm"), tmp_path / "chat.jsonl"
    with client.server.record(path):
        lived = chat(f"{client.server.url}/v2/{endpoint_id}/openai/v1", client.server.token)
    client.delete(endpoint_id)
    assert lived == ["ONE TWO", ["one ", "two "], "server_error"]
    with ReplayServer(path) as replay:
        assert chat(f"{replay.url}/v2/{endpoint_id}/openai/v1", "sk-any") == lived
        assert replay.missed == ()


def test_faults_are_recorded_and_played_as_clients_met_them(
    simulated: LocalRunPodServer, tmp_path: Path
) -> None:
    """Errors with their headers, dropped connections, answers that break off or are late."""
    path = tmp_path / "faults.jsonl"
    faults = ("rest:429:2s*1", "rest:drop*1", "rest:truncate*1", "rest:garbage*1", "rest:delay:1s")
    with http(simulated) as api, simulated.record(path), simulated.faults(*faults):
        lived = [met(api) for _ in range(5)]
    assert [each[0] for each in lived] == [429, "dropped", "dropped", 200, 200]
    assert lived[0][1] == "2"
    dropped, truncated, late = (read(path).exchanges[at] for at in (1, 2, 4))
    assert dropped.answer is None
    assert truncated.answer is not None
    assert truncated.answer.broke_off
    assert late.took_s >= 1
    with ReplayServer(path) as replay, http(replay) as api:
        assert [met(api) for _ in range(5)] == lived
    with ReplayServer(path, as_recorded=True) as replay, http(replay) as api:
        began = time.monotonic()
        for _ in range(5):
            met(api)
        assert time.monotonic() - began >= 1


def met(api: httpx.Client) -> tuple[Any, ...]:
    """Asks for the endpoints, and returns what came of it."""
    try:
        answer = api.get("/v2/serverless")
    except httpx.RemoteProtocolError:
        return ("dropped",)
    return answer.status_code, answer.headers.get("Retry-After"), answer.text


def test_what_is_recorded(simulated: LocalRunPodServer, tmp_path: Path) -> None:
    """What users ask, wrong keys and wrong paths included; not our own command line's questions."""
    path = tmp_path / "all.jsonl"
    with http(simulated) as api, simulated.record(path):
        for each in ("/_local/status", "/v2/serverless", "/v2/e/nothing", "/v2/e/ping/w"):
            api.get(each)
        api.get("/v2/serverless", headers={"Authorization": "Bearer rpa_of_somebody_else"})
        api.post("/graphql", json={"query": "{ myself { id } }"})
    asked = [(each.request.method, each.request.path) for each in read(path).exchanges]
    assert asked == [
        ("GET", "/v2/serverless"),
        ("GET", "/v2/e/nothing"),
        ("GET", "/v2/serverless"),
        ("POST", "/graphql"),
    ]
    assert "somebody" not in path.read_text()
    with pytest.raises(ConflictError), simulated.record(path):
        pass


def test_requests_at_once_are_told_apart(simulated: LocalRunPodServer, tmp_path: Path) -> None:
    """Each answer belongs to its request, and all of them are in the file."""
    path = tmp_path / "many.jsonl"
    with http(simulated) as api:
        endpoint_id = api.post("/v2/serverless", json=ENDPOINT).json()["id"]

        def run(server: LocalRunPodServer | ReplayServer, n: int) -> Any:
            with http(server) as own:
                return own.post(f"/v2/{endpoint_id}/runsync", json={"input": {"n": n}}).json()["id"]

        with simulated.record(path), ThreadPoolExecutor(8) as pool:
            lived = list(pool.map(lambda n: run(simulated, n), range(40)))
    with ReplayServer(path) as replay, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: run(replay, n), range(40))) == lived
        assert replay.missed == ()


def exchange(n: int, text: str = "") -> Exchange:
    """Returns one of many exchanges."""
    answer = Answer(200, body=Body("text", text)) if text else None
    return Exchange(Request("GET", f"/v2/e/status/{n}"), answer, float(n), 0.0)


@asynccontextmanager
async def exchanges_served(recording: Recording, most_bytes: int) -> AsyncIterator[str]:
    """Serves /_local/exchanges and nothing else."""
    api = ExchangeApi(recording, Bells(), most_bytes)
    app = Starlette(
        routes=[
            Route("/_local/exchanges", api.exchanges),
            Route("/_local/exchanges/{name}", api.exchange, methods=["DELETE"]),
        ]
    )
    async with serving(app) as url:
        yield url


@pytest.fixture
def served() -> Iterator[Callable[..., tuple[Recording, Threaded[str], int]]]:
    """Serves what a test says instead of a RunPod; returns that, and the port."""
    with ExitStack() as stack:

        def serve(most_bytes: int = 1_000_000) -> tuple[Recording, Threaded[str], int]:
            recording = Recording()
            server = Threaded("exchanges", lambda _: exchanges_served(recording, most_bytes))
            url = server.open()
            stack.callback(server.close)
            return recording, server, int(url.rpartition(":")[2])

        yield serve


async def told(recording: Recording, *exchanges: Exchange) -> int:
    """Tells everybody who listens; returns how many do."""
    for listener in list(recording.listeners):
        for each in exchanges:
            listener(each)
    return len(recording.listeners)


def test_a_slow_reader_is_cut_off(served: Any) -> None:
    """With words, after what had been on its way to it; nothing waits for it any more."""
    recording, server, port = served(most_bytes=100_000)
    with socket.create_connection(("127.0.0.1", port)) as reader:
        reader.sendall(b"GET /_local/exchanges?name=slow HTTP/1.1\r\nHost: a\r\n\r\n")
        reader.settimeout(10)
        heard = reader.recv(10_000)
        sent = 0
        # The system takes some megabytes before anything waits.
        while sent < 5_000 and b"cutOff" not in heard:
            server.do(told(recording, *(exchange(sent + n, "x" * 10_000) for n in range(5))))
            sent += 5
        while not heard.endswith(b"0\r\n\r\n"):
            heard += reader.recv(1_000_000)
    assert header().encode() in heard
    assert heard.count(b'"cutOff"') == 1
    assert b"more than 100000 bytes waited for this reader" in heard
    assert 0 < heard.count(b'"request"') < sent
    assert server.do(told(recording)) == 0


def test_a_tap_writes_what_it_hears(served: Any, tmp_path: Path) -> None:
    """All that was complete when it was closed, and what came before the file was there."""
    recording, server, port = served()
    with closing(Tap(port, "any")) as tap:
        tap.open()
        server.do(told(recording, exchange(0)))
        with closing(TranscriptFile(tmp_path / "day")) as file:
            tap.begin(file)
            server.do(told(recording, *(exchange(n) for n in range(1, 200))))
            tap.close()
    assert read(tmp_path / "day").exchanges == tuple(exchange(n) for n in range(200))
    assert (tap.was_left, server.do(told(recording))) == (False, 0)


def test_a_tap_that_is_cut_off_says_so(served: Any, tmp_path: Path) -> None:
    """What it had by then is in the file."""
    recording, server, port = served(most_bytes=1_000)
    ended = threading.Event()
    tap = Tap(port, "any", ended.set)
    tap.open()
    with closing(TranscriptFile(tmp_path / "day")) as file:
        tap.begin(file)
        server.do(told(recording, exchange(0, "x" * 2_000)))
        assert ended.wait(10)
        with pytest.raises(EmulatorError, match="more than 1000 bytes waited"):
            tap.close()
    assert read(tmp_path / "day").exchanges == ()


def test_a_tap_notices_that_the_runpod_has_gone(tmp_path: Path) -> None:
    """That ends the recording."""
    ended = threading.Event()
    with closing(TranscriptFile(tmp_path / "day")) as file:
        with LocalRunPodServer(tmp_path / "local", simulation=Simulation()) as server:
            tap = Tap(int(server.url.rpartition(":")[2]), server.token, ended.set)
            tap.open()
            tap.begin(file)
            with http(server) as api:
                api.get("/v2/serverless")
        assert ended.wait(10)
        tap.close()
    assert tap.was_left
    assert len(read(tmp_path / "day").exchanges) == 1


def test_a_runpod_that_lets_nobody_listen(simulated: LocalRunPodServer) -> None:
    """Said before anything is written: a wrong key, or no server at all."""
    port = int(simulated.url.rpartition(":")[2])
    with pytest.raises(EmulatorError, match="cannot be listened to"):
        Tap(port, "wrong").open()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        free = nobody.getsockname()[1]
    with pytest.raises(EmulatorError, match="cannot be listened to"):
        Tap(free, "any").open()


# Forwarding.


TOKEN = "rpa_of_the_recording"
REAL_KEY = "rpa_REALREALREALREAL0123456789"


@contextmanager
def forwarding_to(server: LocalRunPodServer) -> Iterator[tuple[Recording, str]]:
    """Serves what passes on to a RunPod, with a key of its own; yields where, and who tells."""
    hosts = Hosts(server.url, f"{server.url}/v2", f"{server.url}/v2")
    recording = Recording((server.token, TOKEN), hosts.placeholders)

    @asynccontextmanager
    async def opened() -> AsyncIterator[str]:
        async with (
            forwarding(hosts, server.token, TOKEN) as app,
            serving(recording.around(app)) as url,
        ):
            yield url

    threaded = Threaded("forwarding", lambda _: opened())
    yield recording, threaded.open()
    threaded.close()


@pytest.fixture
def forwarded(simulated: LocalRunPodServer) -> Iterator[tuple[Recording, httpx.Client]]:
    """A client of a server that passes on to a RunPod."""
    with (
        forwarding_to(simulated) as (recording, url),
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as api,
    ):
        yield recording, api


def test_a_stream_is_passed_on_as_it_comes(client: Client, tmp_path: Path) -> None:
    """The first word is there before the worker knows the second."""
    endpoint_id, until = client.endpoint("like_vllm"), tmp_path / "go on"
    with forwarding_to(client.server) as (recording, url):
        heard: list[Exchange] = []
        recording.listeners.append(heard.append)
        base_url = f"{url}/v2/{endpoint_id}/openai/v1"
        with openai.OpenAI(api_key=TOKEN, base_url=base_url, max_retries=0) as model:
            words = model.chat.completions.create(
                model="org/model",
                messages=[{"role": "user", "content": "one two three"}],
                stream=True,
                user=str(until),
            )
            assert next(words).choices[0].delta.content == "one "
            assert heard == []
            until.touch()
            assert [each.choices[0].delta.content for each in words] == ["two ", "three "]
    client.delete(endpoint_id)
    assert len(heard) == 1


def test_requests_are_passed_on_with_the_real_key(
    forwarded: tuple[Recording, httpx.Client], simulated: LocalRunPodServer
) -> None:
    """To the API they belong to; who asks never sees it, and nothing of it is told."""
    recording, api = forwarded
    heard: list[Exchange] = []
    recording.listeners.append(heard.append)
    made = api.post("/v2/serverless", json=ENDPOINT)
    endpoint_id = made.json()["id"]
    job = api.post(f"/v2/{endpoint_id}/runsync?wait=5000", json={"input": {"n": 1}}).json()
    assert (made.status_code, job["status"]) == (201, "COMPLETED")
    body = {"query": "{ myself { id } }"}
    assert api.delete(f"/v2/serverless/{endpoint_id}").status_code == 204
    without = {"Authorization": ""}
    by_query = api.post("/graphql?api_key=rpa_of_the_recording", json=body, headers=without)
    assert "id" in by_query.json()["data"]["myself"]
    text = "".join(each.line() for each in heard)
    assert [each.answer and each.answer.status for each in heard] == [201, 200, 204, 200]
    for secret in (simulated.token, simulated.url, TOKEN):
        assert secret not in text


class Upstream:
    """Stands for RunPod: notes what it was asked, and answers with all that may go wrong."""

    def __init__(self) -> None:
        self.asked: list[StarletteRequest] = []
        self.url = ""
        self.everybody_waits = asyncio.Event()
        self.most_waiting = 0
        self.was_left = threading.Event()

    async def answer(self, request: StarletteRequest) -> Response:
        """Notes a request, and says what it was."""
        self.asked.append(request)
        if request.url.path.endswith("/moved"):
            return RedirectResponse(f"{self.url}/v2/e/elsewhere")
        if request.url.path.endswith("/hold"):
            while (await request.receive())["type"] != "http.disconnect":
                pass
            self.was_left.set()
        if request.url.path.endswith("/wait"):
            if len(self.asked) == self.most_waiting:
                self.everybody_waits.set()
            await self.everybody_waits.wait()
        response = JSONResponse({"input": "a" * 1000})
        response.set_cookie("session", "MARKER")
        response.headers.update({"server": "of RunPod", "date": "Thu, 01 Jan 1970 00:00:00 GMT"})
        return response

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Serves it, and what passes on to it; yields where the latter is."""
        routes = [Route("/{path:path}", self.answer, methods=["GET", "POST"])]
        app = Starlette(routes=routes, middleware=[Middleware(GZipMiddleware)])
        async with serving(app) as self.url:
            v2 = f"{self.url}/v2"
            async with (
                forwarding(Hosts(self.url, v2, v2), REAL_KEY, TOKEN) as forwarding_app,
                serving(forwarding_app) as url,
            ):
                yield url


@pytest.fixture
def upstream() -> Iterator[tuple[Upstream, httpx.Client]]:
    """What stands for RunPod, and a client of what passes on to it, without a key yet."""
    upstream = Upstream()
    threaded = Threaded("upstream", lambda _: upstream.served())
    with httpx.Client(base_url=threaded.open(), timeout=30) as api:
        yield upstream, api
    threaded.close()


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer ", "BEARER  "])
def test_the_key_takes_the_place_of_the_token(
    upstream: tuple[Upstream, httpx.Client], scheme: str
) -> None:
    """In a header, in whatever form it stood there."""
    runpod, api = upstream
    api.get("/v2/e/health", headers={"Authorization": f"{scheme}{TOKEN}"}).raise_for_status()
    (asked,) = runpod.asked
    assert asked.headers.getlist("authorization") == [f"{scheme}{REAL_KEY}"]
    assert asked.url.query == ""


def test_the_key_takes_the_place_of_the_token_in_a_query(
    upstream: tuple[Upstream, httpx.Client],
) -> None:
    """And nowhere else; beside a header, in both; without any, none is added."""
    runpod, api = upstream
    api.get(f"/v2/e/health?b=2&api_key={TOKEN}&a={TOKEN}&c=").raise_for_status()
    api.get(f"/v2/e/health?api_key={TOKEN}", headers={"Authorization": f"bearer {TOKEN}"})
    api.get("/v2/e/health")
    first, both, neither = runpod.asked
    assert first.url.query == f"b=2&api_key={REAL_KEY}&a={TOKEN}&c="
    assert "authorization" not in first.headers
    assert (both.url.query, both.headers["authorization"]) == (
        f"api_key={REAL_KEY}",
        f"bearer {REAL_KEY}",
    )
    assert ("authorization" in neither.headers, neither.url.query) == (False, "")


def test_a_forwarding_adds_nothing_of_its_own(upstream: tuple[Upstream, httpx.Client]) -> None:
    """No cookies either way, no compression, no redirect followed, no headers that are its own."""
    runpod, api = upstream
    key = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "gzip", "Cookie": "a=MARKER"}
    answer = api.post("/v2/e/run", json={"input": 1}, headers=key)
    assert answer.json() == {"input": "a" * 1000}
    assert "set-cookie" not in answer.headers
    assert "content-encoding" not in answer.headers
    assert "server" not in answer.headers
    assert len(answer.headers.get_list("date")) == 1
    assert not answer.headers["date"].startswith("Thu, 01 Jan 1970")
    api.post("/v2/e/run", json={"input": 1}, headers=key)
    for asked in runpod.asked:
        assert "cookie" not in asked.headers
        assert asked.headers.getlist("accept-encoding") == ["identity"]
        assert asked.headers.getlist("host") == [runpod.url.removeprefix("http://")]
    moved = api.get("/v2/e/moved", headers=key)
    assert (moved.status_code, moved.headers["location"]) == (307, f"{runpod.url}/v2/e/elsewhere")
    assert len(runpod.asked) == 3


def test_a_proxy_does_not_see_what_stays_here(
    monkeypatch: pytest.MonkeyPatch, simulated: LocalRunPodServer
) -> None:
    """Whatever the machine is told about proxies."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with forwarding_to(simulated) as (_, url), httpx.Client(trust_env=False) as api:
        key = {"Authorization": f"Bearer {TOKEN}"}
        assert api.get(f"{url}/v2/serverless", headers=key).status_code == 200


@pytest.mark.timeout(60)
def test_many_requests_are_held_at_once(upstream: tuple[Upstream, httpx.Client]) -> None:
    """None waits until another one has its answer."""
    runpod, api = upstream
    runpod.most_waiting = 120

    async def ask(client: httpx.AsyncClient) -> int:
        return (await client.get("/v2/e/wait", headers={"Authorization": TOKEN})).status_code

    async def ask_all() -> list[int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=api.base_url, timeout=50, limits=limits) as client:
            return await asyncio.gather(*(ask(client) for _ in range(runpod.most_waiting)))

    assert asyncio.run(ask_all()) == [200] * runpod.most_waiting


@pytest.mark.parametrize(
    "path",
    ["/v2/../_local/status", "/v2/e/../../_local/status", "/v2/%2e%2e/_local/status", "/v2/./e/a"],
)
def test_a_path_that_leads_elsewhere_is_refused(
    upstream: tuple[Upstream, httpx.Client], path: str
) -> None:
    """The key never goes where nobody said it would."""
    runpod, api = upstream
    with closing(http_client.HTTPConnection(api.base_url.host, api.base_url.port)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        assert connection.getresponse().status == 404
    assert runpod.asked == []


def test_a_forwarding_lets_nobody_else_in(forwarded: tuple[Recording, httpx.Client]) -> None:
    """Another key is refused, none is passed on as none, and other paths lead nowhere."""
    _, api = forwarded
    other = api.get("/v2/serverless", headers={"Authorization": "Bearer rpa_other"})
    assert (other.status_code, "RUNPOD_API_KEY" in other.json()["detail"]) == (401, True)
    assert api.get("/v2/e/health", headers={"Authorization": ""}).status_code == 401
    assert api.get("/_local/status").status_code == 404
    assert api.get("/v2/e/job-take/w").status_code == 404


def test_faults_behind_a_forwarding_come_through(
    forwarded: tuple[Recording, httpx.Client], simulated: LocalRunPodServer
) -> None:
    """A status with its headers; half an answer as half an answer; no answer is a 502 in words."""
    recording, api = forwarded
    heard: list[Exchange] = []
    recording.listeners.append(heard.append)
    with simulated.faults("rest:429:2s*1", "rest:truncate*1", "rest:drop*1"):
        limited = api.get("/v2/serverless")
        with pytest.raises(httpx.RemoteProtocolError):
            api.get("/v2/serverless")
        lost = api.get("/v2/serverless")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "2")
    assert (lost.status_code, "did not answer" in lost.json()["detail"]) == (502, True)
    # Our own words on what was not there are no answer of RunPod's, and are not played again.
    assert [each.answer and each.answer.broke_off for each in heard] == [False, True, None]


def test_a_client_that_hangs_up_is_no_exchange(
    forwarded: tuple[Recording, httpx.Client],
    simulated: LocalRunPodServer,
    eventually: Callable[[Callable[[], Any]], None],
    tmp_path: Path,
) -> None:
    """What nobody got is not recorded, neither by a forwarding nor by the RunPod behind it."""
    recording, api = forwarded
    heard: list[Exchange] = []
    with simulated.faults("worker:throttle"):
        endpoint_id = api.post("/v2/serverless", json=ENDPOINT).json()["id"]
        job_id = api.post(f"/v2/{endpoint_id}/run", json={"input": {"n": 1}}).json()["id"]
        recording.listeners.append(heard.append)
        path = f"/v2/{endpoint_id}/status-sync/{job_id}?wait=1500"
        with simulated.record(tmp_path / "behind") as behind:
            with pytest.raises(httpx.ReadTimeout):
                api.get(path, timeout=0.3)
            with http(simulated) as own, pytest.raises(httpx.ReadTimeout):
                own.get(path, timeout=0.3)
            # Answered after those would have been, had anybody waited.
            api.get(path.replace("1500", "1501"))
            eventually(lambda: behind.exchanges >= 1)
    assert [each.request.query for each in heard] == ["wait=1501"]
    assert [each.request.query for each in read(tmp_path / "behind").exchanges] == ["wait=1501"]


def test_runpod_is_not_kept_waiting(upstream: tuple[Upstream, httpx.Client]) -> None:
    """When the client hangs up, so does the forwarding, and RunPod sees it."""
    runpod, api = upstream
    with pytest.raises(httpx.ReadTimeout):
        api.get("/v2/e/hold", headers={"Authorization": TOKEN}, timeout=0.5)
    assert runpod.was_left.wait(10)


def test_a_stream_has_its_name_alone(simulated: LocalRunPodServer) -> None:
    """Another one of that name is refused, until it has ended; who ends none is told so."""
    with http(simulated) as api, http(simulated) as other:
        with api.stream("GET", "/_local/exchanges?name=mine") as stream:
            lines = stream.iter_lines()
            assert next(lines) == header()
            refused = other.get("/_local/exchanges?name=mine")
            assert (refused.status_code, refused.json()) == (
                400,
                {"error": "a stream is called mine already"},
            )
            assert other.delete("/_local/exchanges/mine").status_code == 200
            assert list(lines) == []
        assert other.delete("/_local/exchanges/mine").status_code == 404
        with other.stream("GET", "/_local/exchanges?name=mine") as again:
            assert again.status_code == 200
