"""What is sent to a language model, in both forms, and what is refused before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.errors import UsageError
from runpodctl_py.presets import loading
from runpodctl_py.workloads.llm import (
    Conversation,
    Sampling,
    check_model_name,
    finish_reason,
    hint_for,
    native_payload,
    openai_body,
    read_messages,
    too_large,
    weights_gb,
)

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonValue

USER = {"role": "user", "content": "Hello"}
ASSISTANT = {"role": "assistant", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be kind."}


def test_a_conversation_grows_by_questions_and_answers() -> None:
    """What the model is told beforehand stays first."""
    said = Conversation.begun("Be kind.").asked("Hello").answered("Hi").asked("Hello")
    assert said.as_json() == [SYSTEM, USER, ASSISTANT, USER]


def test_there_is_one_system_message() -> None:
    """Two of them would contradict each other silently."""
    with pytest.raises(UsageError, match="--system and a system message"):
        Conversation.begun("Be rude.", [SYSTEM])


def test_only_what_was_given_is_sent() -> None:
    """Everything else is the worker's to choose; 0 is a value."""
    sampling = Sampling(temperature=0.0, max_tokens=5, stop=("a", "b"))
    asked = Conversation.begun(None).asked("Hello")
    fields = {"temperature": 0.0, "max_tokens": 5, "stop": ["a", "b"]}
    assert openai_body("org/m", asked, sampling, streams=False) == {
        "model": "org/m",
        "messages": [USER],
        **fields,
    }
    assert native_payload(asked, sampling, streams=True) == {
        "messages": [USER],
        "stream": True,
        "sampling_params": fields,
    }
    assert native_payload(asked, Sampling(), streams=False) == {"messages": [USER], "stream": False}


def test_a_stream_is_asked_for_its_usage() -> None:
    """Without this, vLLM does not count in a stream."""
    body = openai_body("m", Conversation(), Sampling(), streams=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_the_native_payload_passes_the_presets_check() -> None:
    """`submit --preset vllm` takes what `chat --native` sends."""
    sampling = Sampling(0.5, 0.9, 10, ("x",), 1)
    payload = native_payload(Conversation.begun("a").asked("b"), sampling, streams=True)
    loading.load("vllm").check_input(payload)


@pytest.mark.parametrize(
    "text", [json.dumps([USER, ASSISTANT]), json.dumps({"messages": [USER, ASSISTANT]})]
)
def test_messages_are_read_from_a_list_or_a_request(text: str) -> None:
    """The form of OpenAI's requests works as it is."""
    assert read_messages(text, "m.json") == (USER, ASSISTANT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "m.json is no JSON"),
        ("[]", "m.json is no list of messages"),
        ('{"prompt": "x"}', "m.json is no list of messages"),
        ('["Hello"]', "Message 1 of m.json has no role"),
        ('[{"role": "boss", "content": "x"}]', "Message 1 of m.json has no role"),
        (
            '[{"role": "user", "content": "x"}, {"role": "user"}]',
            "Message 2 of m.json has no content",
        ),
        ("[" * 100_000, "m.json is no JSON"),
    ],
)
def test_what_is_no_conversation_is_refused(text: str, message: str) -> None:
    """With the number of the message that is wrong."""
    with pytest.raises(UsageError, match=f"^{message}"):
        read_messages(text, "m.json")


@pytest.mark.parametrize(
    "model", ["Qwen/Qwen3-8B", "meta-llama/Llama-3.1-8B-Instruct", "a/b_c.d", "01-ai/Yi-6B"]
)
def test_names_of_models_are_taken(model: str) -> None:
    """As they are."""
    assert check_model_name(model) == model


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("qwen", "ORG/NAME"),
        ("", "ORG/NAME"),
        ("a/b/c", "ORG/NAME"),
        ("../etc", "ORG/NAME"),
        ("a/b c", "ORG/NAME"),
        ("Qwen/Qwen3-8B\n", "ORG/NAME"),
        ("https://huggingface.co/Qwen/Qwen3-8B/", r"Perhaps Qwen/Qwen3-8B\?"),
    ],
)
def test_what_is_no_name_of_a_model_is_refused(model: str, hint: str) -> None:
    """A link is no name, but holds one."""
    with pytest.raises(UsageError) as caught:
        check_model_name(model)
    assert caught.value.hint is not None
    assert hint.replace("\\", "") in caught.value.hint


@pytest.mark.parametrize(
    ("model", "gb"),
    [
        ("Qwen/Qwen3-8B", 16),
        ("Qwen/Qwen2.5-0.5B-Instruct", 1),
        ("Qwen/Qwen3-30B-A3B", 60),
        ("mistralai/Mixtral-8x7B-v0.1", 112),
        ("facebook/opt_6.7b", 13.4),
        ("Qwen/Qwen3-32B-AWQ", None),
        ("x/Llama-70B-FP8", None),
        ("microsoft/phi-4", None),
        ("facebook/opt-125m", None),
        ("70B/small", None),
    ],
)
def test_a_models_name_tells_its_size(model: str, gb: float | None) -> None:
    """Two bytes a parameter; what is quantised, or says nothing, is not judged."""
    assert weights_gb(model) == gb


def test_a_model_that_does_not_fit_is_told() -> None:
    """By the memory of all of a worker's cards."""
    said = too_large("a/b-70B", 80)
    assert said is not None
    assert "about 140 GB" in said
    assert too_large("a/b-70B", 160) is None


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        ("a/b is gated or private on Hugging Face. Set HF_TOKEN to a token", "--env @FILE"),
        ("a/b ran out of GPU memory during startup.", "--max-model-len"),
        ("a/b ran out of disk while downloading.", "--container-disk"),
        ("something else", None),
    ],
)
def test_known_failures_of_a_model_have_a_hint(error: str, helps: str | None) -> None:
    """With the command that helps."""
    hint = hint_for(error)
    assert (hint is None) if helps is None else (hint is not None and helps in hint)


EVENTS = (
    'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": null}]}\n\n'
    'data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n\n'
    'data: {"choices": [], "usage": {}}\n\ndata: [DONE]\n\n'
)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ([{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}], "stop"),
        ({"choices": [{"finish_reason": "length"}]}, "length"),
        ([EVENTS], "length"),
        ([EVENTS[:80], EVENTS[80:130], EVENTS[130:]], "length"),
        (EVENTS, "length"),
        ([{"choices": [{"finish_reason": None}]}, {"choices": [{"finish_reason": "x"}]}], "x"),
        ([{"choices": [{"tokens": ["a"]}], "usage": {"input": 3, "output": 2}}], None),
        (["data: {oops\n\n", "words"], None),
        ([{"choices": []}, {"choices": [3]}, {"choices": [{"finish_reason": 3}]}], None),
        (None, None),
    ],
)
def test_why_an_answer_ended_is_read_from_every_form(output: JsonValue, reason: str | None) -> None:
    """Whole, in pieces, and in texts that are cut anywhere; an old worker does not say it."""
    assert finish_reason(output) == reason
