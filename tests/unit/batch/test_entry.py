"""One line of JSON Lines: the input's keys, the row's name, its policy."""

from __future__ import annotations

import json

import pytest

from runpodctl_py.api.types import Policy
from runpodctl_py.batch.entry import Entry, parse_entry
from runpodctl_py.errors import UsageError


def refusal(document: object) -> str:
    """Return why a line is refused."""
    with pytest.raises(UsageError) as caught:
        parse_entry(json.dumps(document), ())
    return caught.value.message


@pytest.mark.parametrize("key", ["id", "custom_id"])
def test_an_input_may_be_wrapped(key: str) -> None:
    """What names the row is there for templates, and no field of the input."""
    line = json.dumps({key: "x", "input": {"a": 1}})

    assert parse_entry(line, ()) == Entry({key: "x", "a": 1}, [key], "x")


def test_an_input_has_its_own_id_beside_the_rows() -> None:
    """The one inside is the input's."""
    line = '{"id": "row", "input": {"id": "field"}}'

    assert parse_entry(line, ()) == Entry({"id": "field"}, [], "row")


@pytest.mark.parametrize(
    "document", [{"input": "text"}, {"input": {}, "other": 1}, {"policy": {}, "id": "x"}]
)
def test_what_only_looks_wrapped_is_an_input(document: dict[str, object]) -> None:
    """All of its keys are the input's."""
    assert parse_entry(json.dumps(document), ()).values == document


@pytest.mark.parametrize(("declared", "apart"), [((), ()), (("a",), ["id"]), (("id",), [])])
def test_an_id_in_an_input_stays_there_unless_it_is_no_field(
    declared: tuple[str, ...], apart: tuple[str, ...]
) -> None:
    """It names the row in any case."""
    entry = parse_entry('{"id": 7, "a": 1}', declared)

    assert (entry.name, entry.apart) == ("7", apart)


def test_a_policy_has_runpods_keys() -> None:
    """API reference 4.2."""
    policy = {"executionTimeout": 5_000, "ttl": 604_800_000, "lowPriority": True}

    assert parse_entry(json.dumps({"input": {}, "policy": policy}), ()).policy == Policy(
        execution_timeout_ms=5_000, ttl_ms=604_800_000, low_priority=True
    )


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (None, "the policy must be a JSON object, not null"),
        ({"timeout": 1}, 'the policy takes executionTimeout, ttl, lowPriority, not "timeout"'),
        ({"lowPriority": 1}, "lowPriority must be true or false, not 1"),
        ({"ttl": 9_999}, "ttl must be from 10000 to 604800000 ms, not 9999"),
        ({"ttl": 604_800_001}, "ttl must be from 10000 to 604800000 ms, not 604800001"),
        ({"ttl": True}, "ttl must be from 10000 to 604800000 ms, not true"),
        ({"ttl": None}, "ttl must be from 10000 to 604800000 ms, not null"),
        (
            {"executionTimeout": 4_999},
            "executionTimeout must be from 5000 to 604800000 ms, not 4999",
        ),
        (
            {"executionTimeout": 6e3},
            "executionTimeout must be from 5000 to 604800000 ms, not 6000.0",
        ),
    ],
)
def test_a_policy_outside_runpods_limits_is_refused(policy: object, message: str) -> None:
    """RunPod would take its own limit, or refuse the job."""
    assert refusal({"input": {"a": 1}, "policy": policy}) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "the id is empty"),
        (" \t", "the id is empty"),
        (None, "the id must be a text or a number, not null"),
        (True, "the id must be a text or a number, not true"),
        ([1], "the id must be a text or a number, not [1]"),
        ("x" * 201, "the id has 201 characters; at most 200 are taken"),
        ("\ud800", 'the id "\\ud800" holds half a character'),
    ],
)
def test_what_cannot_name_a_row_is_refused(name: object, message: str) -> None:
    """In both forms of a line."""
    expected = message.replace("\\ud800", "\ud800")

    assert refusal({"id": name, "input": {"a": 1}}) == expected
    assert refusal({"id": name, "a": 1}) == expected


def test_two_names_are_refused() -> None:
    """Which one counts is not ours to choose."""
    message = "there are both id and custom_id; keep the one that names the rows"

    assert refusal({"id": 1, "custom_id": 2, "input": {}}) == message
