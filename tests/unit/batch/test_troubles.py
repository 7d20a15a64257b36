"""What goes wrong, put together by kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.batch.troubles import Trouble, Troubles
from runpodctl_py.jobs.collect import judge


def kinds(*messages: str) -> list[tuple[str, int]]:
    """Return what is shown of some messages, and how often."""
    troubles = Troubles()
    for number, each in enumerate(messages):
        troubles.add(str(number), each)
    return [(kind.message, kind.count) for kind in troubles.kinds]


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("row 118: bad size", "row 977: bad size", "row …: bad size"),
        ("prompt 'x' is empty", "prompt 'a longer one' is empty", "prompt '…' is empty"),
        ('no "a" here', 'no "b" here', 'no "…" here'),
        ("can't read `a b`", "can't read `c`", "can't read `…`"),
        (
            "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 23.65 GiB total)",
            "CUDA out of memory. Tried to allocate 512.00 MiB (GPU 0; 23.65 GiB total)",
            "CUDA out of memory. Tried to allocate … (GPU …; … total)",
        ),
        ("took 12.5 s", "took 3 s", "took … s"),
        (
            "job 0e8400e2-29b4-41d4-a716-446655440000-u1 was lost",
            "job sync-7a1b7b1c-29b4-41d4-a716-446655440000-e2 was lost",
            "job … was lost",
        ),
        ("worker moi9fq5smrmwvl died", "worker x7b2kzm1q0aaaa died", "worker … died"),
        ("no file /tmp/a/b.png", "no file /var/lib/c.png", "no file …"),
        (r"no file C:\in\a.png", r"no file D:\in\deep\b.png", "no file …"),
        ("GET https://a.example/x?y failed", "GET http://b.example/ failed", "GET … failed"),
        ("at 2026-07-01T12:30:11Z: late", "at 2026-07-02T09:00:00Z: late", "at …: late"),
        ("a.py:118: bad", "a.py:7: bad", "a.py:…: bad"),
        ("boom  here\ntraceback 1", " boom here", "boom here"),
    ],
    ids=lambda text: text[:20],
)
def test_what_differs_between_rows_does_not_count(first: str, second: str, shown: str) -> None:
    """Numbers, ids, paths, quoted texts: one kind, shown with an ellipsis where it differs."""
    assert kinds(first, second) == [(shown, 2)]


def test_what_is_said_differently_is_another_kind() -> None:
    """Words that are no ids count."""
    assert kinds("prompt is empty", "prompt is too long", "prompt is empty") == [
        ("prompt is empty", 2),
        ("prompt is too long", 1),
    ]


def test_a_single_message_is_shown_as_it_is() -> None:
    """An ellipsis stands only where messages of a kind really differ."""
    assert kinds("frame 7 of 'a.mp4' is broken", "frame 7 of 'a.mp4' is broken") == [
        ("frame 7 of 'a.mp4' is broken", 2)
    ]


def test_the_workers_own_words_are_shown() -> None:
    """What our program says before them, with each job's own time, is left out."""
    messages = [
        judge(
            Job(
                "j",
                JobStatus.FAILED,
                error='{"error_type": "<class \'ValueError\'>", "error_message": "no prompt"}',
                execution_ms=execution_ms,
            ),
            returns_object=False,
        )
        for execution_ms in (1204, None)
    ]

    assert kinds(*(each.message for each in messages if each)) == [("ValueError: no prompt", 2)]


def test_the_most_frequent_first_and_then_the_last() -> None:
    """With the first rows of each, by name."""
    troubles = Troubles()
    for row in range(8):
        troubles.add(f"r{row}", f"a{'b' * (row % 2)} 'x'")
    troubles.add("r8", "once")
    troubles.add("r9", "twice")
    troubles.add("r10", "twice")
    troubles.add("r11", "once again")

    assert troubles.kinds == (
        Trouble("ab 'x'", "ab 'x'", 4, ("r1", "r3", "r5", "r7")),
        Trouble("a 'x'", "a 'x'", 4, ("r0", "r2", "r4", "r6")),
        Trouble("twice", "twice", 2, ("r9", "r10")),
        Trouble("once again", "once again", 1, ("r11",)),
        Trouble("once", "once", 1, ("r8",)),
    )


def test_as_json_each_kind_has_its_first_rows_and_a_sample() -> None:
    """The keys are a promise to scripts."""
    troubles = Troubles()
    for row in range(9):
        troubles.add(f"r{row}", f"step {row} failed")

    assert troubles.as_json() == [
        {
            "message": "step … failed",
            "sample": "step 0 failed",
            "count": 9,
            "rows": ["r0", "r1", "r2", "r3", "r4"],
        }
    ]


def test_there_are_at_most_fifty_kinds() -> None:
    """The rarest and oldest make room: the frequent one and the last one stay."""
    troubles = Troubles()
    troubles.add("r", "often")
    troubles.add("r", "often")
    for number in range(120):
        troubles.add("r", f"kind {'a' * (number + 1)}")

    assert len(troubles.kinds) == 50
    assert troubles.kinds[0].message == "often"
    assert troubles.kinds[1].message == f"kind {'a' * 120}"
    assert troubles.others == 71
    assert sum(kind.count for kind in troubles.kinds) + troubles.others == 122


def test_long_messages_and_names_are_cut() -> None:
    """Memory stays small, whatever a worker says."""
    troubles = Troubles()
    troubles.add("n" * 10_000, "word " * 10_000)

    (kind,) = troubles.kinds
    assert (len(kind.sample), len(kind.message), len(kind.rows[0])) == (500, 500, 100)
    assert kind.sample.endswith("…")


@given(st.lists(st.text(max_size=60), max_size=20))
def test_any_message_is_counted(messages: list[str]) -> None:
    """No text is refused, none is lost, and each is shown on one line."""
    found = kinds(*messages)

    assert sum(count for _, count in found) == len(messages)
    assert not any("\n" in message for message, _ in found)


@pytest.mark.parametrize(
    "text", ["'" * 5000, "a-" * 5000, "a/" * 5000, "http://" * 900, "~" * 5000]
)
def test_no_message_takes_long(text: str) -> None:
    """A hundred of the most awkward ones are read well within the time of a test."""
    troubles = Troubles()
    for number in range(100):
        troubles.add(str(number), text)

    assert sum(kind.count for kind in troubles.kinds) == 100
