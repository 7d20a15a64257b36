"""The console over HTTP: who is let in, and what is streamed when."""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runpodctl_py.emulator.console.overview import PAUSE_S
from runpodctl_py.testing import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from conftest import Client, Stage

OVERVIEW = "/_local/console/events"


@contextmanager
def browser(client: Client) -> Iterator[httpx.Client]:
    """Somebody's browser that has a session."""
    path = client.http.post("/_local/console/tickets").json()["path"]
    with httpx.Client(base_url=client.server.url, timeout=60) as http:
        assert http.get(path).status_code == 200
        yield http


class Events:
    """The events of a stream, one after the other."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()
        self.name = ""

    def next(self) -> Any:
        """Waits for the next event and returns its data."""
        self.name = "message"
        for line in self._lines:
            if line.startswith("event: "):
                self.name = line[7:]
            if line.startswith("data: "):
                return json.loads(line[6:])
        raise EOFError

    def until(self, condition: Callable[[Any], Any]) -> Any:
        """Waits for an event of a kind and returns its data."""
        while not condition(data := self.next()):
            pass
        return data

    def rest(self) -> list[str]:
        """Waits for the end and returns the lines that came before it."""
        return list(self._lines)


@contextmanager
def events(http: httpx.Client, path: str) -> Iterator[Events]:
    """A stream, open as long as the context."""
    with http.stream("GET", path) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        yield Events(answer)


class TestWayIn:
    """Tickets, the key, and the cookie."""

    def test_a_ticket_opens_the_page_once(self, client: Client) -> None:
        """It becomes a cookie that scripts cannot read and other sites cannot send."""
        path = client.http.post("/_local/console/tickets").json()["path"]
        with httpx.Client(base_url=client.server.url) as http:
            let_in = http.get(path)
            cookie = let_in.headers["set-cookie"]
            port = client.server.url.rpartition(":")[2]
            assert cookie.startswith(f"runpodctl_console_{port}=")
            for attribute in ("HttpOnly", "SameSite=strict", "Path=/"):
                assert attribute in cookie
            assert (let_in.headers["refresh"], client.server.token in let_in.text) == (
                "0; url=/",
                False,
            )
            assert 'id="jobs"' in http.get("/").text
        used = httpx.get(client.server.url + path)
        assert (used.status_code, "used before" in used.text) == (401, True)
        assert "set-cookie" not in used.headers

    def test_a_used_ticket_does_not_matter_with_a_session(self, client: Client) -> None:
        """As when the page is loaded again from the browser's history."""
        with browser(client) as http:
            again = http.get("/?ticket=used")
            assert (again.status_code, again.headers["refresh"]) == (200, "0; url=/")

    def test_the_key_opens_the_page(self, client: Client) -> None:
        """Pasted with a space behind it; another one does not."""
        with httpx.Client(base_url=client.server.url) as http:
            closed = http.get("/")
            assert (closed.status_code, "runpodctl-py local console" in closed.text) == (401, True)
            wrong = http.post("/", data={"key": "rpa_wrong"})
            assert (wrong.status_code, "not the key" in wrong.text) == (401, True)
            assert http.post("/", content=b"key=%ff&\xff").status_code == 401
            assert http.post("/", data={"key": "k" * 20_000}).status_code == 413
            assert http.post("/", data={"key": f"{client.server.token} "}).status_code == 200
            assert http.get("/").status_code == 200

    def test_tickets_are_for_who_has_the_key(self, client: Client) -> None:
        """Neither nobody nor a browser gets one."""
        with browser(client) as http:
            refused = http.post("/_local/console/tickets")
        assert refused.status_code == 401

    @pytest.mark.parametrize("path", ["events", "jobs/e/j/events", "workers/w/log"])
    def test_nothing_is_shown_without_a_session(self, client: Client, path: str) -> None:
        """Not even for the key: these paths are a browser's."""
        cookie = {f"runpodctl_console_{client.server.url.rpartition(':')[2]}": "1.2.3"}
        with httpx.Client(base_url=client.server.url, cookies=cookie) as http:
            answers = [each.get(f"/_local/console/{path}") for each in (http, client.http)]
        assert [each.status_code for each in answers] == [401, 401]

    def test_a_session_opens_no_api(self, client: Client) -> None:
        """It only looks."""
        with browser(client) as http:
            for path in ("/_local/status", "/_local/faults", "/v2/serverless", "/v2/e/health"):
                assert http.get(path).status_code == 401
            assert http.post("/_local/reset").status_code == 401
            assert http.post("/graphql", json={"query": "{ myself { id } }"}).status_code == 401

    @pytest.mark.parametrize("path", ["/", "/?ticket=t", "/console/main.js", OVERVIEW])
    def test_other_hosts_are_refused(self, client: Client, path: str) -> None:
        """A page of theirs may have led its own name here."""
        with browser(client) as http:
            host = f"evil.example:{client.server.url.rpartition(':')[2]}"
            refused = http.get(path, headers={"Host": host})
            assert (refused.status_code, "127.0.0.1" in refused.text) == (421, True)

    def test_a_strict_policy_stands_on_everything(self, client: Client) -> None:
        """Nothing from elsewhere, nothing inline, no frame."""
        with browser(client) as http:
            for path in ("/", "/console/console.css", "/console/none.js", "/?ticket=x"):
                assert http.get(path).headers["content-security-policy"].split("; ") == [
                    "default-src 'none'",
                    "script-src 'self'",
                    "style-src 'self'",
                    "connect-src 'self'",
                    "img-src 'self' data: blob:",
                    "media-src data: blob:",
                    "base-uri 'none'",
                    "form-action 'self'",
                    "frame-ancestors 'none'",
                ]

    def test_the_pages_files(self, client: Client) -> None:
        """Each that the page names is there; nothing else of the folder is."""
        with browser(client) as http:
            page = http.get("/").text
            names = re.findall(r'(?:src|href)="(/console/[^"]+)"', page)
            assert len(names) >= 3
            scripts = http.get("/console/main.js").text
            names += [f"/console/{each}" for each in re.findall(r'from "\./([^"]+)"', scripts)]
            assert {http.get(each).status_code for each in names} == {200}
            script = http.get("/console/main.js")
            assert script.headers["content-type"] == "text/javascript; charset=utf-8"
            for name in ("index.html", "..%2fpages.py", "%2e%2e/pages.py"):
                assert http.get(f"/console/{name}").status_code == 404


class TestOverview:
    """Everything at a glance."""

    def test_a_job_appears_and_ends(self, client: Client, stage: Stage) -> None:
        """Each of its states is told, and its worker's, without being asked for."""
        with browser(client) as http, events(http, OVERVIEW) as told:
            told.next()
            endpoint_id, puppet = stage.on_duty()
            puppet.take()

            def seen(status: str) -> Callable[[Any], bool]:
                def is_shown(data: Any) -> bool:
                    endpoints = {each["id"]: each for each in data["shown"]["endpoints"]}
                    latest = endpoints.get(endpoint_id, {"latest": []})["latest"]
                    return [each["status"] for each in latest] == [status]

                return is_shown

            job_id = client.run(endpoint_id, {"n": 1})
            told.until(seen("IN_QUEUE"))
            assert puppet.take().json()["id"] == job_id
            running = told.until(seen("IN_PROGRESS"))["shown"]["workers"]
            assert [each["jobs"] for each in running if each["id"] == puppet.id] == [[job_id]]
            puppet.done(job_id, '{"output": 1}')
            told.until(seen("COMPLETED"))
            client.delete(endpoint_id)
            told.until(lambda data: endpoint_id not in str(data))

    def test_time_and_faults(self, client: Client) -> None:
        """What was done on purpose is told at once."""
        server = client.server
        with browser(client) as http, events(http, OVERVIEW) as told:
            told.next()
            with server.faults("run:429*3"):
                assert told.next()["shown"]["faults"] == ["run:429*3"]
            assert told.next()["shown"]["faults"] == []
            ahead_s = client.http.get("/_local/time").json()["ahead"]
            server.time.advance(600)
            moved = told.until(lambda data: data["clock"]["ahead"] > ahead_s + 1)["clock"]
            assert (moved["frozen"], round(moved["ahead"] - ahead_s)) == (False, 600)

    def test_nothing_is_sent_while_nothing_changes(
        self, start_with: Callable[..., AbstractContextManager[Client]]
    ) -> None:
        """What rings and leaves all as it was sends nothing: the next event is the next change.

        It rings for several times as long as a stream rests, so that it looks in between.
        """
        with (
            start_with(simulation=Simulation()) as client,
            browser(client) as http,
            events(http, OVERVIEW) as told,
        ):
            told.next()
            began = time.monotonic()
            while time.monotonic() - began < 5 * PAUSE_S:
                client.http.put("/_local/faults", json={"faults": []})
            with client.server.faults("run:429*3"):
                assert told.next()["shown"]["faults"] == ["run:429*3"]

    def test_two_watch(self, start_with: Callable[..., AbstractContextManager[Client]]) -> None:
        """Both are told of every change, whichever of them it was made for."""
        with (
            start_with(simulation=Simulation()) as client,
            browser(client) as http,
            events(http, OVERVIEW) as one,
            events(http, OVERVIEW) as other,
        ):
            for count in (3, 4, 5):
                with client.server.faults(f"run:429*{count}"):
                    for told in (one, other):
                        while told.next()["shown"]["faults"] != [f"run:429*{count}"]:
                            pass

    def test_many_changes_are_few_events(
        self, start_with: Callable[..., AbstractContextManager[Client]]
    ) -> None:
        """A thousand jobs are seen in a handful of events, the last of which has them all."""
        with (
            start_with(simulation=Simulation(concurrency=50)) as client,
            browser(client) as http,
            events(http, OVERVIEW) as told,
        ):
            endpoint_id = client.endpoint("any")
            began = time.monotonic()
            batch = [{"input": {"n": n}} for n in range(300)]
            for each in batch:
                client.http.post(f"/v2/{endpoint_id}/run", json=each)
            count = 0
            while True:
                count += 1
                (endpoint, *_) = told.next()["shown"]["endpoints"] or [{"jobs": {"completed": 0}}]
                if endpoint["jobs"]["completed"] == len(batch):
                    break
            assert count <= (time.monotonic() - began) * 5 + 3
            assert (len(endpoint["latest"]), endpoint["hasMore"]) == (100, True)


class TestJob:
    """One job in full."""

    def test_its_whole_life(self, client: Client, stage: Stage) -> None:
        """Input, progress, output; nothing twice; and its end when it is forgotten."""
        endpoint_id, puppet = stage.on_duty()
        puppet.take()
        job_id = client.run(endpoint_id, {"n": 1}, policy={"executionTimeout": 60_000})
        path = f"/_local/console/jobs/{endpoint_id}/{job_id}/events"
        with browser(client) as http, events(http, path) as told:
            queued = told.next()
            assert (queued["status"], queued["input"]) == ("IN_QUEUE", {"n": 1})
            assert queued["policy"]["executionTimeout"] == 60_000
            puppet.take()
            assert told.next()["workerId"] == puppet.id
            puppet.done(job_id, '{"status": "IN_PROGRESS", "output": {"progress": 50}}')
            assert told.next()["progress"] == {"progress": 50}
            puppet.done(job_id, '{"output": {"text": "<b>"}}')
            done = told.next()
            assert (done["status"], done["outcome"]) == ("COMPLETED", {"output": {"text": "<b>"}})
            client.status(endpoint_id, job_id)
            client.server.time.advance(1800)
            assert (told.next(), told.name) == ({}, "gone")
            assert told.rest() == [""]
            assert http.get(path).status_code == 404
        client.delete(endpoint_id)

    def test_its_endpoint_is_deleted(self, client: Client, stage: Stage) -> None:
        """Then it is gone, too."""
        endpoint_id, puppet = stage.on_duty()
        puppet.take()
        job_id = client.run(endpoint_id, {"n": 1})
        puppet.take()
        puppet.done(job_id, '{"output": 1}')
        path = f"/_local/console/jobs/{endpoint_id}/{job_id}/events"
        with browser(client) as http, events(http, path) as told:
            told.next()
            client.delete(endpoint_id)
            assert (told.next(), told.name) == ({}, "gone")


class TestLog:
    """A worker's log."""

    def test_a_worker_that_has_gone(self, client: Client) -> None:
        """What it wrote is there, the SDK's own lines taken apart."""
        endpoint_id = client.endpoint("plain", idleTimeout=1)
        job_id = client.run(endpoint_id, {"n": 1})
        worker_id = client.final(endpoint_id, job_id)["workerId"]
        with browser(client) as http:
            with events(http, OVERVIEW) as told:
                told.until(lambda data: worker_id not in str(data["shown"]["workers"]))
            with events(http, f"/_local/console/workers/{worker_id}/log") as told:
                line = told.until(lambda line: line["text"] == "Started.")
                assert (line["level"], line["jobId"]) == ("INFO", job_id)
            answers = {}
            for unknown in ("nobody", "No-Id", "*", "%2a", "%2e%2e", worker_id[:-1] + "%3f"):
                # A log that is there would go on: only the status is read.
                with http.stream("GET", f"/_local/console/workers/{unknown}/log") as answer:
                    answers[unknown] = answer.status_code
            assert answers == {**dict.fromkeys(answers, 400), "nobody": 404}
        client.delete(endpoint_id)


def test_the_streams_end_with_the_emulator(
    start: Callable[..., AbstractContextManager[Client]],
) -> None:
    """At once, without an error; a session is good after the restart."""
    with start() as client:
        endpoint_id = client.endpoint("plain", workersMin=1)
        job_id = client.run(endpoint_id, {"n": 1})
        worker_id = client.final(endpoint_id, job_id)["workerId"]
        opened = browser(client)
        http = opened.__enter__()
        paths = [
            OVERVIEW,
            f"/_local/console/jobs/{endpoint_id}/{job_id}/events",
            f"/_local/console/workers/{worker_id}/log",
        ]
        port = int(client.server.url.rpartition(":")[2])
        streams = [events(http, path) for path in paths]
        told = [each.__enter__() for each in streams]
        for each in told:
            each.next()
        stopping = time.monotonic()
    for each in told:
        each.rest()
    for stream in streams:
        stream.__exit__(None, None, None)
    assert time.monotonic() - stopping < 8
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    http.close()
