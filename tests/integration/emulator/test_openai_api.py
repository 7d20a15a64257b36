"""The OpenAI route over HTTP, with a worker that the test speaks for."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Client, Puppet, Stage

    Eventually = Callable[[Callable[[], Any]], None]

CHAT = "/openai/v1/chat/completions"
DONE = "data: [DONE]\n\n"


@pytest.fixture(scope="module")
def duty(client: Client, stage: Stage) -> Iterator[tuple[str, Puppet]]:
    """An endpoint with one worker."""
    endpoint_id, puppet = stage.on_duty()
    puppet.take()
    yield endpoint_id, puppet
    client.delete(endpoint_id)


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Where requests wait that are held."""
    with ThreadPoolExecutor() as pool:
        yield pool


class Asked:
    """A request to the OpenAI route that is held, and the job it became."""

    def __init__(
        self, pool: ThreadPoolExecutor, client: Client, duty: tuple[str, Puppet], **body: Any
    ) -> None:
        endpoint_id, self.puppet = duty
        self.answer: Future[httpx.Response] = pool.submit(
            client.http.post, f"/v2/{endpoint_id}{CHAT}", json=body
        )
        self.job = next_job(self.puppet)
        self.id = self.job["id"]


def next_job(puppet: Puppet) -> dict[str, Any]:
    """Returns the next job, which is on its way to the worker."""
    while (taken := puppet.take()).status_code == 204:
        pass
    job: dict[str, Any] = taken.json()
    return job


@contextmanager
def begun(
    pool: ThreadPoolExecutor, client: Client, duty: tuple[str, Puppet]
) -> Iterator[tuple[str, Iterator[str]]]:
    """Yields the job of a stream of which the client has got one line, and the other lines."""
    endpoint_id, puppet = duty
    sending = client.http.build_request("POST", f"/v2/{endpoint_id}{CHAT}", json={"stream": True})
    sent = pool.submit(client.http.send, sending, stream=True)
    job_id = next_job(puppet)["id"]
    puppet.stream(job_id, "data: 1\n\n")
    with closing(sent.result()) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: 1"
        yield job_id, lines


@pytest.fixture
def ask(
    aside: ThreadPoolExecutor, client: Client, duty: tuple[str, Puppet]
) -> Callable[..., Asked]:
    """Sends a body, and has the worker take the job."""
    return lambda **body: Asked(aside, client, duty, **body)


def test_the_worker_gets_route_and_body(ask: Callable[..., Asked]) -> None:
    """Nothing of the body is lost or read; an empty answer is null."""
    asked = ask(model="m", stream=False, extra={"a": [1]})
    assert asked.id.startswith("sync-")
    assert asked.job["input"] == {
        "openai_route": "/v1/chat/completions",
        "openai_input": {"model": "m", "stream": False, "extra": {"a": [1]}},
    }
    asked.puppet.done(asked.id, '{"output": null}')
    assert (asked.answer.result().status_code, asked.answer.result().json()) == (200, None)


def test_a_get_has_no_body(
    aside: ThreadPoolExecutor, client: Client, duty: tuple[str, Puppet]
) -> None:
    """The worker gets the route alone, a model's name with its slash."""
    endpoint_id, puppet = duty
    answer = aside.submit(client.http.get, f"/v2/{endpoint_id}/openai/v1/models/org/model")
    job = next_job(puppet)
    assert job["input"] == {"openai_route": "/v1/models/org/model"}
    puppet.done(job["id"], '{"output": [{"id": "org/model"}]}')
    assert answer.result().json() == {"id": "org/model"}


@pytest.mark.parametrize(
    ("output", "shown", "kind"),
    [
        ([{"a": 1}], '{"a":1}', "application/json"),
        ({"a": 1}, '{"a":1}', "application/json"),
        ([{"a": 1}, {"b": 2}], '[{"a":1},{"b":2}]', "application/json"),
        (['{"a":', " 1}"], '{"a": 1}', "application/json"),
        ("plain é", "plain é", "text/plain; charset=utf-8"),
        ("cut \ud83d", "cut ?", "text/plain; charset=utf-8"),
    ],
)
def test_an_answer_in_one_piece(
    ask: Callable[..., Asked], output: Any, shown: str, kind: str
) -> None:
    """A list of one is unwrapped, pieces of text are joined, everything else is as it was."""
    asked = ask()
    asked.puppet.done(asked.id, json.dumps({"output": output}))
    answer = asked.answer.result()
    assert (answer.text, answer.headers["content-type"]) == (shown, kind)


def test_what_was_yielded_counts_when_nothing_was_collected(ask: Callable[..., Asked]) -> None:
    """A generator without return_aggregate_stream posts an empty list at its end."""
    asked = ask()
    asked.puppet.stream(asked.id, {"a": 1})
    asked.puppet.done(asked.id, '{"output": []}')
    assert asked.answer.result().json() == {"a": 1}


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("boom", {"message": "boom", "type": "server_error", "param": None, "code": None}),
        ({"message": "m", "code": 7}, {"message": "m", "code": 7}),
        ([1], {"message": "[1]", "type": "server_error", "param": None, "code": None}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_job_is_a_server_error(
    ask: Callable[..., Asked], error: Any, shown: Any, *, stream: bool
) -> None:
    """HTTP 500 with an error object; the worker's own, if it sent one."""
    asked = ask(stream=stream)
    asked.puppet.done(asked.id, json.dumps({"error": error}))
    answer = asked.answer.result()
    assert (answer.status_code, answer.json()) == (500, {"error": shown})


def test_a_cancelled_job_is_a_server_error(
    ask: Callable[..., Asked], client: Client, duty: tuple[str, Puppet]
) -> None:
    """There is no answer any more that could come."""
    asked = ask()
    client.http.post(f"/v2/{duty[0]}/cancel/{asked.id}")
    answer = asked.answer.result()
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == f"job {asked.id} is CANCELLED"


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        (["data: 1\n\ndata: 2\n\n", DONE], f"data: 1\n\ndata: 2\n\n{DONE}"),
        (["data: 1\n\nda", "ta: [DO", "NE]\n\n"], f"data: 1\n\n{DONE}"),
        (["data: 1\n\n"], f"data: 1\n\n{DONE}"),
        (["data: 1"], f"data: 1\n\n{DONE}"),
        (["data: [DONE]"], DONE),
        ([{"a": 1}], f'data: {{"a":1}}\n\n{DONE}'),
        ([[{"a": 1}, {"b": 2}]], f'data: {{"a":1}}\n\ndata: {{"b":2}}\n\n{DONE}'),
    ],
)
def test_a_stream_of_events(ask: Callable[..., Asked], chunks: list[Any], text: str) -> None:
    """Text is passed on as it is, objects become events, and there is one end."""
    asked = ask(stream=True)
    for chunk in chunks:
        asked.puppet.stream(asked.id, chunk)
    asked.puppet.done(asked.id, json.dumps({"output": chunks}))
    answer = asked.answer.result()
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (answer.status_code, answer.text) == (200, text)


def test_a_worker_that_does_not_stream_says_it_all_at_the_end(ask: Callable[..., Asked]) -> None:
    """Its output becomes events."""
    asked = ask(stream=True)
    asked.puppet.done(asked.id, '{"output": {"a": 1}}')
    assert asked.answer.result().text == f'data: {{"a":1}}\n\n{DONE}'


def test_a_failure_in_the_middle_of_a_stream_is_its_last_event(ask: Callable[..., Asked]) -> None:
    """HTTP 200 has been sent by then."""
    asked = ask(stream=True)
    asked.puppet.stream(asked.id, "data: 1\n\n")
    asked.puppet.done(asked.id, '{"error": "boom"}')
    first, second, rest = asked.answer.result().text.split("\n\n", 2)
    assert (first, rest) == ("data: 1", DONE)
    assert json.loads(second.removeprefix("data: "))["error"]["message"] == "boom"


def test_a_stream_does_not_begin_again_on_another_worker(
    aside: ThreadPoolExecutor, client: Client, duty: tuple[str, Puppet]
) -> None:
    """What a second worker says is no continuation: the stream ends, and so does the job."""
    endpoint_id, puppet = duty
    with begun(aside, client, duty) as (job_id, lines):
        # A poll of a worker that holds no jobs tells that it has lost them; it may get it again.
        puppet.take()
        assert "lost in the middle" in "".join(lines)
    assert client.status(endpoint_id, job_id)["status"] == "CANCELLED"
    puppet.take()


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_cancels_its_job(
    aside: ThreadPoolExecutor,
    client: Client,
    duty: tuple[str, Puppet],
    eventually: Eventually,
    *,
    stream: bool,
) -> None:
    """Nobody else could fetch the answer."""
    endpoint_id, puppet = duty
    url = f"/v2/{endpoint_id}{CHAT}"
    answer = aside.submit(client.http.post, url, json={"stream": stream}, timeout=0.4)
    job_id = next_job(puppet)["id"]
    with pytest.raises(httpx.ReadTimeout):
        answer.result()
    stopped(client, puppet, job_id, eventually)


def test_a_client_that_leaves_a_stream_cancels_its_job(
    aside: ThreadPoolExecutor, client: Client, duty: tuple[str, Puppet], eventually: Eventually
) -> None:
    """It will not come back for the rest."""
    with begun(aside, client, duty) as (job_id, _):
        pass
    stopped(client, duty[1], job_id, eventually)


def stopped(client: Client, puppet: Puppet, job_id: str, eventually: Eventually) -> None:
    """Expects a job to be cancelled and its worker to be told; then the worker has stopped it."""
    eventually(lambda: client.status(puppet.endpoint_id, job_id)["status"] == "CANCELLED")
    assert puppet.stops().json() == {"jobsToStop": [job_id]}
    puppet.take()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("nowhere/openai/v1/models", b"{}", 404),
        ("{endpoint_id}/openai/v1/models", b"[]", 400),
        ("{endpoint_id}/openai/v1/models", b"{", 400),
        ("{endpoint_id}/openai/v1/models", b'{"a": "' + b"a" * (20 * 1024 * 1024) + b'"}', 413),
    ],
)
def test_what_cannot_be_a_request_makes_no_job(
    client: Client, duty: tuple[str, Puppet], path: str, body: bytes, status: int
) -> None:
    """It is refused as by the job API."""
    answer = client.http.post(f"/v2/{path.format(endpoint_id=duty[0])}", content=body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert client.health(duty[0])["jobs"]["inQueue"] == 0


def test_a_deleted_endpoint_ends_its_requests(
    aside: ThreadPoolExecutor, client: Client, stage: Stage, eventually: Eventually
) -> None:
    """One that is held is not found any more; a stream ends with an error."""
    endpoint_id, puppet = stage.on_duty()
    with begun(aside, client, (endpoint_id, puppet)) as (_, lines):
        held = aside.submit(client.http.get, f"/v2/{endpoint_id}/openai/v1/models")
        eventually(lambda: client.health(endpoint_id)["jobs"]["inQueue"] == 1)
        client.delete(endpoint_id)
        assert held.result().status_code == 404
        assert "not found" in "".join(lines)
