"""OpenAI's own client against a real worker that speaks as worker-vllm does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Client

MODEL = "org/model"


@pytest.fixture(scope="module")
def vllm(client: Client) -> Iterator[openai.OpenAI]:
    """A client of an endpoint with one worker, which repeats nothing."""
    endpoint_id = client.endpoint("like_vllm")
    with openai.OpenAI(
        api_key=client.server.token,
        base_url=f"{client.server.url}/v2/{endpoint_id}/openai/v1",
        max_retries=0,
    ) as vllm:
        yield vllm
    client.delete(endpoint_id)


def say(text: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
    """Returns a conversation of one message."""
    return [{"role": "user", "content": text}]


@pytest.mark.proves("job-api: openai/{path}", "rule: openai-passthrough")
def test_models_are_listed(vllm: openai.OpenAI) -> None:
    """A GET reaches the worker as a route without a body."""
    assert [each.id for each in vllm.models.list()] == [MODEL]


@pytest.mark.proves("job-api: openai/{path}", "rule: openai-passthrough")
def test_a_completion_comes_in_one_piece(vllm: openai.OpenAI) -> None:
    """The worker's list of one object is unwrapped."""
    answer = vllm.chat.completions.create(model=MODEL, messages=say("hello"))
    assert (answer.object, answer.choices[0].message.content) == ("chat.completion", "HELLO")


@pytest.mark.proves("job-api: openai/{path}", "rule: openai-passthrough")
def test_a_completion_is_streamed_as_it_comes(vllm: openai.OpenAI, tmp_path: Path) -> None:
    """The first word is there before the worker knows the second."""
    until = tmp_path / "go on"
    words = vllm.chat.completions.create(
        model=MODEL, messages=say("one two three"), stream=True, user=str(until)
    )
    assert next(words).choices[0].delta.content == "one "
    until.touch()
    assert [each.choices[0].delta.content for each in words] == ["two ", "three "]


@pytest.mark.proves("rule: openai-passthrough")
def test_an_error_of_the_model_is_an_ordinary_answer(vllm: openai.OpenAI) -> None:
    """HTTP 200, as RunPod does it; the client finds the error's words where an answer would be."""
    answer = vllm.chat.completions.with_raw_response.create(model="other", messages=say("hello"))
    assert answer.status_code == 200
    assert answer.http_response.json() == {
        "object": "error",
        "message": "The model does not exist.",
        "type": "NotFoundError",
        "code": 404,
        "param": None,
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.proves("rule: openai-passthrough")
def test_an_exception_in_the_worker_is_a_server_error(vllm: openai.OpenAI, *, stream: bool) -> None:
    """HTTP 500 with the worker's words in OpenAI's form, before a stream has begun."""
    with pytest.raises(openai.InternalServerError, match="out of memory") as failed:
        vllm.chat.completions.create(model=MODEL, messages=say("raise"), stream=stream)
    assert failed.value.type == "server_error"


@pytest.mark.proves("job-api: openai/{path}")
def test_a_wrong_key_is_refused(vllm: openai.OpenAI) -> None:
    """The client says so in its own words."""
    with pytest.raises(openai.AuthenticationError):
        vllm.with_options(api_key="wrong").models.list()


@pytest.mark.parametrize(
    ("fault", "jobs"),
    [
        ("openai:429:1s*1", 1),
        ("openai:drop*1", 1),
        ("openai:drop-after*1", 2),
        ("openai:500-after*1", 2),
    ],
)
def test_the_client_asks_again_after_a_fault(
    client: Client, vllm: openai.OpenAI, fault: str, jobs: int
) -> None:
    """Unlike RunPod's it repeats a POST, too: what was done already is done twice, and billed."""
    endpoint_id = vllm.base_url.path.split("/")[2]

    def count_jobs() -> int:
        counters = client.health(endpoint_id)["jobs"]
        return sum(number for name, number in counters.items() if name != "retried")

    before = count_jobs()
    with client.server.faults(fault) as faults:
        answer = vllm.with_options(max_retries=1).chat.completions.create(
            model=MODEL, messages=say("hello")
        )
        assert faults.struck() == 1
    assert answer.choices[0].message.content == "HELLO"
    assert count_jobs() - before == jobs


@pytest.mark.anyio
@pytest.mark.proves("job-api: openai/{path}", "rule: openai-passthrough")
async def test_the_asyncio_client_streams_too(vllm: openai.OpenAI) -> None:
    """The same words through the other client."""
    async with openai.AsyncOpenAI(
        api_key=vllm.api_key, base_url=vllm.base_url, max_retries=0
    ) as client:
        words = await client.chat.completions.create(
            model=MODEL, messages=say("one two"), stream=True
        )
        heard = [each.choices[0].delta.content async for each in words]
    assert heard == ["one ", "two "]
