"""Faults: how they are written, and when they strike."""

from __future__ import annotations

import json

import pytest

from runpodctl_py.emulator.ids import Ids
from runpodctl_py.emulator.lab.faults import Fault, Faults, Kind, parse_fault
from runpodctl_py.emulator.lab.places import REQUESTS, place_of, places_of
from runpodctl_py.errors import NotFoundError, UsageError


def faults(*texts: str, seed: int = 1) -> Faults:
    """Returns some faults that are set."""
    ids = Ids(seed)
    made = Faults(lambda: ids.sequence("faults"))
    made.add(texts)
    return made


def strikes(known: Faults, times: int) -> str:
    """Returns which of several occasions at /run a fault strikes at, as 1 and 0."""
    return "".join("1" if known.strike(["run"]) else "0" for _ in range(times))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run:429", Fault("run:429", "run", Kind.STATUS, status=429)),
        (
            "run:429:2s*3",
            Fault("run:429:2s*3", "run", Kind.STATUS, status=429, seconds=2, first=3),
        ),
        (
            "job-done:500-after@2",
            Fault("job-done:500-after@2", "job-done", Kind.STATUS, after=True, status=500, only=2),
        ),
        ("status:drop@0.1", Fault("status:drop@0.1", "status", Kind.DROP, share=0.1)),
        ("cancel:drop-after", Fault("cancel:drop-after", "cancel", Kind.DROP, after=True)),
        ("rest:garbage-after", Fault("rest:garbage-after", "rest", Kind.GARBAGE, after=True)),
        ("stream:truncate", Fault("stream:truncate", "stream", Kind.TRUNCATE)),
        ("progress:delay:1.5s", Fault("progress:delay:1.5s", "progress", Kind.DELAY, seconds=1.5)),
        ("openai:slow:500ms", Fault("openai:slow:500ms", "openai", Kind.SLOW, seconds=0.5)),
        (
            "graphql.saveEndpoint:503",
            Fault("graphql.saveEndpoint:503", "graphql.saveEndpoint", Kind.STATUS, status=503),
        ),
        ("worker:crash@2", Fault("worker:crash@2", "worker", Kind.CRASH, only=2)),
        ("worker:throttle", Fault("worker:throttle", "worker", Kind.THROTTLE)),
        ("coldstart:2m", Fault("coldstart:2m", "coldstart", Kind.DELAY, seconds=120)),
        ("coldstart:crash*1", Fault("coldstart:crash*1", "coldstart", Kind.CRASH, first=1)),
    ],
)
def test_a_fault_is_read(text: str, expected: Fault) -> None:
    """Where, what, and how often."""
    assert parse_fault(text) == expected


@pytest.mark.parametrize(
    ("text", "wrong", "possible"),
    [
        ("", "''", "WHERE:WHAT"),
        ("run", "'run'", "WHERE:WHAT"),
        ("429*3", "'429*3'", "WHERE:WHAT"),
        ("runs:429", "'runs'", "runsync"),
        ("graphql.saveEndpoints:500", "'graphql.saveEndpoints'", "graphql.saveEndpoint"),
        ("job-take-batch:500", "'job-take-batch'", "job-take"),
        ("run:explode", "'explode'", "drop"),
        ("run:crash", "'crash'", "drop"),
        ("run:200", "'200'", "400 to 599"),
        ("run:600", "'600'", "400 to 599"),
        ("run:٤٢٩", "'٤٢٩'", "400 to 599"),
        ("run:delay", "'delay'", "delay:3s"),
        ("run:delay:3", "'delay:3'", "delay:3s"),
        ("run:delay:-3s", "'delay:-3s'", "delay:3s"),
        ("run:delay:25h", "'delay:25h'", "at most a day"),
        ("run:500:2s", "'500:2s'", "429:2s"),
        ("run:429:0.5s", "'429:0.5s'", "429:2s"),
        ("run:drop:2s", "'drop:2s'", "drop"),
        ("run:truncate-after", "'truncate-after'", "truncate"),
        ("worker:30s", "'30s'", "crash"),
        ("worker:500", "'500'", "throttle"),
        ("coldstart:throttle", "'throttle'", "crash"),
        ("coldstart:delay:3s", "'delay:3s'", "30s"),
        ("run:429*0", "'*0'", "*3"),
        ("run:429*", "'*'", "*3"),
        ("run:429*0.5", "'*0.5'", "@0.1"),
        ("run:429@1.5", "'@1.5'", "@0.1"),
        ("run:429@0.0", "'@0.0'", "@0.1"),
        ("run:429@-1", "'@-1'", "@3"),
        ("run:429*3@2", "'*3@2'", "*3"),
    ],
)
def test_what_is_wrong_is_named_and_what_is_possible(text: str, wrong: str, possible: str) -> None:
    """A refusal quotes the part that cannot be used."""
    with pytest.raises(UsageError) as refusal:
        parse_fault(text)
    assert wrong in refusal.value.message
    assert possible in (refusal.value.hint or "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run:500", "11111"),
        ("run:500*2", "11000"),
        ("run:500@3", "00100"),
        ("run:500@1.0", "11111"),
    ],
)
def test_a_fault_strikes_as_often_as_it_says(text: str, expected: str) -> None:
    """Always, the first times, or one time only."""
    assert strikes(faults(text), 5) == expected


def test_chance_is_repeatable() -> None:
    """With a seed; about as often as its share says."""
    once, again, other = (strikes(faults("run:500@0.3", seed=seed), 200) for seed in (7, 7, 8))
    assert (once == again, once == other) == (True, False)
    assert 30 < once.count("1") < 90


def test_the_first_fault_that_strikes_is_used() -> None:
    """Those after it do not even count that time."""
    known = faults("run:429*1", "run:500@1", "run:503")
    struck = [known.strike(["run"]) for _ in range(3)]
    assert [each and each.text for each in struck] == ["run:429*1", "run:500@1", "run:503"]
    assert [(each.seen, each.struck) for each in known] == [(3, 1), (2, 1), (1, 1)]


def test_a_fault_strikes_only_where_it_was_set_and_as_what_can_happen_there() -> None:
    """A crash is no answer to a worker that starts."""
    known = faults("worker:crash")
    assert known.strike(["run"]) is None
    assert known.strike(["worker"], Kind.THROTTLE) is None
    assert known.strike(["worker"], Kind.CRASH) is not None


def test_none_is_set_when_one_cannot_be_read() -> None:
    """What was set stays."""
    known = faults("run:500")
    for change in (known.add, known.replace):
        with pytest.raises(UsageError):
            change(["status:404", "nonsense"])
    assert [each.fault.text for each in known] == ["run:500"]


def test_faults_are_replaced_added_and_forgotten() -> None:
    """By id or by text; whoever listens is told each time."""
    known, told = faults("run:500", "status:404"), list[bool]()
    known.on_changed.append(lambda: told.append(bool(known)))
    known.remove(["run:500"])
    known.add(["run:429"])
    with pytest.raises(NotFoundError, match="No fault run:500 is set"):
        known.remove(["run:429", "run:500"])
    assert [each.fault.text for each in known] == ["status:404", "run:429"]
    known.replace(["health:500"])
    (left,) = known
    known.remove([left.id])
    known.clear()
    assert told == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/abc/run", "run"),
        ("/v2/abc/status/job-u1", "status"),
        ("/v2/abc/batch/b1/requests", "batch"),
        ("/v2/abc/openai/v1/chat/completions", "openai"),
        ("/v2/abc/job-take-batch/w1", "job-take"),
        ("/v2/abc/job-done/w1/j1", "job-done"),
        ("/v2/serverless/abc", "rest"),
        ("/v2/billing", "rest"),
        ("/graphql", "graphql"),
        ("/_local/faults", None),
        ("/v2/abc/nothing", None),
        ("/v2/abc", None),
        ("/", None),
    ],
)
def test_a_path_leads_to_a_place(path: str, expected: str | None) -> None:
    """The emulator's own API is spared, so that faults can be cleared."""
    assert place_of(path) == expected


def test_a_body_says_which_operation_it_is() -> None:
    """GraphQL's fields, and progress from results; what cannot be read is neither."""
    query = json.dumps({"query": "mutation { saveEndpoint(input: {}) { id } a: saveTemplate }"})
    expected = ("graphql", "graphql.saveEndpoint", "graphql.saveTemplate")
    assert places_of("graphql", query.encode()) == expected
    assert places_of("graphql", b'{"query": "{"}') == ("graphql",)
    assert places_of("graphql", b"[]") == ("graphql",)
    assert places_of("job-done", b'{"status": "IN_PROGRESS", "output": NaN}') == ("progress",)
    assert places_of("job-done", b'{"output": 1}') == ("job-done",)
    assert places_of("run", b"anything") == ("run",)


def test_the_places_are_those_of_the_apis() -> None:
    """Every one that the job API's and the worker API's tables have."""
    assert set(REQUESTS) >= {
        *("run", "runsync", "status", "status-sync", "stream", "cancel", "retry", "purge-queue"),
        *("health", "requests", "batch", "openai", "graphql", "graphql.saveEndpoint", "rest"),
        *("job-take", "job-stop", "job-done", "job-stream", "ping", "progress"),
    }
