"""Which recorded answer a request gets, and what is refused."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from runpodctl_py.emulator.lab.replaying import Missed, Replay
from runpodctl_py.emulator.lab.transcript import Answer, Body, Exchange, Request

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = {"Authorization": "Bearer anything"}
RUN, STATUS, SYNC = "/v2/e/run", "/v2/e/status/j", "/v2/e/status-sync/j"


def recorded(
    method: str, path: str, says: Any, *, body: Any = None, query: str = "", at: float = 0.0
) -> Exchange:
    """Return an exchange."""
    request = Request(method, path, query, body=None if body is None else Body("json", body))
    return Exchange(request, Answer(200, body=Body("json", says)), at, 0.0)


@pytest.fixture
def asking() -> Callable[..., tuple[Replay, Callable[..., Any]]]:
    """Replays exchanges; returns that, and what asks it and returns what it says."""

    def replayed(*exchanges: Exchange, **options: Any) -> tuple[Replay, Callable[..., Any]]:
        replay = Replay(exchanges, **options)
        client = TestClient(replay, headers=KEY)

        def ask(method: str, path: str, **more: Any) -> Any:
            return client.request(method, path, **more).json()

        return replay, ask

    return replayed


def test_answers_come_in_turn_and_the_last_one_again(asking: Any) -> None:
    """In the order in which they were asked for, not in that in which they were complete."""
    replay, ask = asking(
        recorded("GET", STATUS, "done", at=3), *(recorded("GET", STATUS, n, at=n) for n in (1, 2))
    )
    assert [ask("GET", STATUS) for _ in range(5)] == [1, 2, "done", "done", "done"]
    assert (replay.answered, replay.missed) == (5, [])


def test_both_ways_to_poll_tell_one_story(asking: Any) -> None:
    """How long a client is ready to wait is another each time, and changes nothing."""
    _, ask = asking(
        recorded("GET", SYNC, 1, query="wait=1000", at=1), recorded("GET", STATUS, 2, at=2)
    )
    assert [ask("GET", f"{SYNC}?wait={n}") for n in (5, 7, 9)] == [1, 2, 2]


def test_what_makes_something_is_answered_once(asking: Any) -> None:
    """The second job would have the id of the first one."""
    told: list[Missed] = []
    replay, ask = asking(
        *(recorded("POST", RUN, {"id": n}, body={"input": {}}, at=n) for n in (1, 2)),
        on_missed=told.append,
    )
    said = [ask("POST", RUN, json={"input": {}}) for _ in range(3)]
    assert said[:2] == [{"id": 1}, {"id": 2}]
    assert said[2]["error"] == (
        f"POST {RUN}: was recorded 2 times, and one more answer would repeat what it made"
    )
    assert (replay.answered, replay.missed, [each.path for each in told]) == (2, told, [RUN])


REPEATED = [
    ("POST", "/graphql", {"query": "query A { myself { id } }"}),
    ("POST", "/v2/e/cancel/j", {}),
    ("POST", "/v2/e/purge-queue", {}),
    ("POST", "/v2/e/openai/v1/chat/completions", {"messages": []}),
    ("PATCH", "/v2/serverless/e", {"name": "a"}),
    ("GET", "/v2/serverless", None),
]
MADE_ONCE = [
    ("POST", "/graphql", {"query": "mutation { saveTemplate(input: {}) { id } }"}),
    ("POST", "/v2/e/runsync", {"input": {}}),
    ("POST", "/v2/e/retry/j", {}),
    ("POST", "/v2/e/batch", []),
    ("POST", "/v2/e/batch/b/requests", []),
    ("POST", "/v2/serverless", {"name": "a"}),
]


@pytest.mark.parametrize(("method", "path", "body"), [*REPEATED, *MADE_ONCE])
def test_which_requests_may_be_repeated(asking: Any, method: str, path: str, body: Any) -> None:
    """Those that make nothing new."""
    replay, ask = asking(recorded(method, path, "said", body=body))
    assert ask(method, path, json=body) == "said"
    again = ask(method, path, json=body)
    assert (again == "said") is ((method, path, body) in REPEATED)
    assert len(replay.missed) == int((method, path, body) in MADE_ONCE)


def test_the_same_request(asking: Any) -> None:
    """Whatever the order of parameters and fields, the spaces, the key and the compression."""
    query = "query  A($n: Int) {\n  myself { id, name } # all\n}"
    replay, ask = asking(
        recorded("GET", "/v2/e/requests", 1, query="a=1&b=2"),
        *[recorded("POST", RUN, 2, body={"input": {"a": 1, "b": [True]}})] * 2,
        recorded("POST", "/graphql", 3, body={"query": query, "variables": {"n": 1}}),
        recorded("POST", "/graphql", 4, body={"query": "{ a }"}),
    )
    compressed = gzip.compress(b'{"input": {"a": 1, "b": [true]}}')
    bare = "query A($n:Int){myself{id name}}"
    assert [
        ask("GET", "/v2/e/requests?b=2&api_key=any&a=1"),
        ask("POST", RUN, content=b'{ "input": {"b": [true], "a": 1} }'),
        ask("POST", RUN, content=compressed, headers={"Content-Encoding": "gzip"}),
        ask("POST", "/graphql", json={"variables": {"n": 1}, "query": bare}),
        ask("POST", "/graphql", json={"query": "{ a }", "variables": None, "operationName": None}),
    ] == [1, 2, 2, 3, 4]
    assert replay.missed == []


def test_another_request(asking: Any) -> None:
    """Is refused with 404, in words that say what is another."""
    replay, ask = asking(recorded("POST", RUN, 1, body={"input": {"a": 1}}))
    for body in ({"input": {"a": True}}, {"input": {"a": "1"}}, {"input": {}}):
        ask("POST", RUN, json=body)
    ask("GET", RUN)
    ask("GET", "/v2/other/health")
    assert [each.reason for each in replay.missed] == [
        *["is in the transcript with another body only"] * 3,
        *["is not in the transcript"] * 2,
    ]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/graphql", lambda said: said["errors"][0]["message"]),
        ("/v2/serverless", lambda said: said["detail"]),
        ("/v2/e/health", lambda said: said["error"]),
        ("/v2/e/openai/v1/models", lambda said: said["error"]["message"]),
    ],
)
def test_refusals_have_the_form_of_the_api(path: str, words: Callable[[Any], str]) -> None:
    """So that clients show the words."""
    client = TestClient(Replay([]))
    missed = client.post(path, headers=KEY)
    assert (missed.status_code, words(missed.json())) == (
        404,
        f"POST {path}: is not in the transcript",
    )
    without_key = client.post(path)
    assert without_key.status_code == 401
    assert words(without_key.json()).startswith("Unauthorized")


def test_any_key_will_do() -> None:
    """In any of the places where RunPod takes one, and it need not be recorded."""
    client = TestClient(Replay([recorded("GET", STATUS, 1)]))
    assert client.get(STATUS, headers={"Authorization": "bare"}).json() == 1
    assert client.get(f"{STATUS}?api_key=any").json() == 1


def test_a_secret_need_not_be_the_same() -> None:
    """What was removed when it was recorded is removed before it is compared."""
    template = {"name": "a", "env": {"HF_TOKEN": "(removed)"}, "token": "(removed)"}
    client = TestClient(Replay([recorded("POST", "/v2/templates", 1, body=template)]))
    sent = {"name": "a", "env": {"HF_TOKEN": "hf_other"}, "token": "my-own-key"}
    said = client.post("/v2/templates", json=sent, headers={"Authorization": "my-own-key"})
    assert said.json() == 1


def test_addresses_are_those_of_the_replay(asking: Any) -> None:
    """In answers, and in requests that repeat them."""
    _, ask = asking(
        recorded("GET", "/v2/serverless", {"url": "http://runpod.invalid/v2/e"}),
        recorded("POST", RUN, 1, body={"input": "http://runpod.invalid/v2/e"}),
    )
    url = ask("GET", "/v2/serverless")["url"]
    assert url == "http://testserver/v2/e"
    assert ask("POST", RUN, json={"input": url}) == 1


def test_our_own_command_line_sees_something() -> None:
    """An empty local RunPod; what else it may ask for is refused."""
    client = TestClient(Replay([]), headers=KEY)
    assert client.get("/_local/status").json()["endpoints"] == []
    assert client.get("/_local/time").json()["frozen"] is False
    assert client.get("/_local/faults").json() == {"faults": []}
    assert client.get("/_local/workers").status_code == 404
