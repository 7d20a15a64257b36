"""Faults: what goes wrong on purpose, how often, and how it is written.

A fault is `WHERE:WHAT[:ARG][*N | @X]`, such as `run:429:2s*3` or `status:drop@0.1`. This module
parses them and decides when one strikes; `injection.py` does it to requests, `worker_faults.py`
to workers.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, auto
from itertools import count
from typing import TYPE_CHECKING

from runpodctl_py.emulator.lab.places import COLD_START, REQUESTS, WORKER
from runpodctl_py.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator, Sequence

_LOWEST_STATUS, _HIGHEST_STATUS = 400, 599
_MAY_SAY_WHEN = frozenset({429, 503})
"""The statuses that come with a Retry-After."""

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?P<number>\d{1,9}(?:\.\d{1,9})?)(?P<unit>ms|s|m|h)", re.ASCII)
_LONGEST_S = 24 * 3600.0
_WHOLE = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_SHARE = re.compile(r"(?:0\.\d{1,9}|1\.0{1,9})", re.ASCII)

_log = logging.getLogger(__name__)


class Kind(Enum):
    """What goes wrong."""

    STATUS = auto()
    """The answer is an HTTP error."""
    DROP = auto()
    """The connection is closed without an answer."""
    GARBAGE = auto()
    """The answer is 200 with a body that is no JSON."""
    TRUNCATE = auto()
    """The answer breaks off in the middle of its body."""
    DELAY = auto()
    """It is late: the answer, what a worker posts, or a worker's start."""
    SLOW = auto()
    """The answer's body trickles in."""
    CRASH = auto()
    """The worker ends."""
    THROTTLE = auto()
    """The worker gets no room."""


_PLAIN = {"drop": Kind.DROP, "garbage": Kind.GARBAGE, "truncate": Kind.TRUNCATE}
_TIMED = {"delay": Kind.DELAY, "slow": Kind.SLOW}
_OF_WORKERS = {"crash": Kind.CRASH, "throttle": Kind.THROTTLE}
_AFTER = "-after"

_POSSIBLE = {
    WORKER: "crash (as it takes a job), throttle",
    COLD_START: "a time such as 30s, crash",
}
_POSSIBLE_ELSEWHERE = (
    "400 to 599 (429:2s and 503:2s say when to try again), drop, garbage, "
    "each of them with -after when it should happen first, truncate, delay:3s, slow:3s"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Args:
        text: As it is written.
        where: The place, one of `places.REQUESTS`, `worker` or `coldstart`.
        kind: What goes wrong.
        after: Whether what was asked for happens before.
        status: The HTTP status, of a `STATUS`.
        seconds: The time it takes; of a `STATUS`, the answer's Retry-After.
        first: It strikes this many times, and then never again.
        only: It strikes this one time, counted from 1.
        share: The probability with which it strikes.
    """

    text: str
    where: str
    kind: Kind
    after: bool = False
    status: int = 0
    seconds: float | None = None
    first: int | None = None
    only: int | None = None
    share: float | None = None


def parse_fault(text: str) -> Fault:
    """Returns the fault that a text describes.

    Raises:
        UsageError: It describes none; the hint says what is possible.
    """
    head, mark, when = _cut(text)
    where, _, happening = head.partition(":")
    if not happening:
        raise UsageError(
            f"{text!r} is no fault: it says where or what, and not both",
            hint="A fault is WHERE:WHAT, such as run:429*3 or status:drop@0.1",
        )
    if where not in {WORKER, COLD_START, *REQUESTS}:
        fields = ", ".join(each for each in REQUESTS if "." not in each)
        nearest = get_close_matches(where, (WORKER, COLD_START, *REQUESTS), n=1)
        meant = f"Did you mean {nearest[0]}? " if nearest else ""
        raise UsageError(
            f"{where!r} of {text!r} is no place for a fault",
            hint=f"{meant}Places: {fields}, graphql.saveEndpoint and the like, {WORKER}, "
            f"{COLD_START}",
        )
    first, only, share = _how_often(text, mark, when)
    kind, after, status, seconds = _what(text, where, happening)
    return Fault(text, where, kind, after, status, seconds, first, only, share)


def _cut(text: str) -> tuple[str, str, str]:
    """Returns what stands before the mark that says how often, the mark, and what follows."""
    found = re.search(r"[*@]", text)
    if found is None:
        return text, "", ""
    return text[: found.start()], found[0], text[found.end() :]


def _how_often(text: str, mark: str, when: str) -> tuple[int | None, int | None, float | None]:
    if not mark:
        return None, None, None
    if _WHOLE.fullmatch(when):
        return (int(when), None, None) if mark == "*" else (None, int(when), None)
    if mark == "@" and _SHARE.fullmatch(when) and float(when) > 0:
        return None, None, float(when)
    raise UsageError(
        f"{mark + when!r} of {text!r} does not say how often",
        hint="*3 is the first 3 times, @3 the third time only, @0.1 one time in ten by chance",
    )


def _what(text: str, where: str, happening: str) -> tuple[Kind, bool, int, float | None]:
    """Returns the kind, whether it comes after the effect, the status and the seconds."""
    what, colon, argument = happening.partition(":")
    given_s = _seconds(argument)
    if where == COLD_START and (seconds := _seconds(happening)) is not None:
        return Kind.DELAY, False, 0, seconds
    if where in {WORKER, COLD_START}:
        kind = _OF_WORKERS.get(happening)
        if kind is not None and (where == WORKER or kind is Kind.CRASH):
            return kind, False, 0, None
    elif what in _TIMED and given_s is not None:
        return _TIMED[what], False, 0, given_s
    else:
        name = what.removesuffix(_AFTER)
        after = name != what
        if name in _PLAIN and not colon and not (after and name == "truncate"):
            return _PLAIN[name], after, 0, None
        status = int(name) if re.fullmatch(r"\d{3}", name, re.ASCII) else 0
        is_whole = given_s is not None and given_s == int(given_s)
        says_when = is_whole and status in _MAY_SAY_WHEN
        if _LOWEST_STATUS <= status <= _HIGHEST_STATUS and (not colon or says_when):
            return Kind.STATUS, after, status, given_s
    raise UsageError(
        f"{happening!r} of {text!r} is nothing that can go wrong with {where}",
        hint=f"Possible: {_POSSIBLE.get(where, _POSSIBLE_ELSEWHERE)}; times are 500ms, 3s, 2m, "
        "at most a day",
    )


def _seconds(text: str) -> float | None:
    if (found := _DURATION.fullmatch(text)) is None:
        return None
    seconds = float(found["number"]) * _UNITS_S[found["unit"]]
    return seconds if seconds <= _LONGEST_S else None


@dataclass(slots=True)
class Tally:
    """A fault that is set, and what became of it so far.

    Args:
        id: Its id.
        fault: The fault.
        seen: How often it could have struck.
        struck: How often it did.
    """

    id: str
    fault: Fault
    seen: int = 0
    struck: int = 0

    def strikes(self, chance: random.Random) -> bool:
        """Whether it strikes this time; counts."""
        self.seen += 1
        fault = self.fault
        strikes = (
            (fault.first is None or self.seen <= fault.first)
            and (fault.only is None or self.seen == fault.only)
            and (fault.share is None or chance.random() < fault.share)
        )
        self.struck += strikes
        return strikes


class Faults:
    """The faults of one local RunPod, in the order in which they were set; empty at its start.

    Args:
        chance: Returns what decides for faults that strike with a probability.
    """

    def __init__(self, chance: Callable[[], random.Random]) -> None:
        self._chance = chance
        self._ids = count(1)
        self._tallies: list[Tally] = []
        self.on_changed: list[Callable[[], None]] = []
        """Called after faults were set or cleared."""

    def __bool__(self) -> bool:
        return bool(self._tallies)

    def __iter__(self) -> Iterator[Tally]:
        return iter(self._tallies)

    def add(self, texts: Iterable[str]) -> Sequence[Tally]:
        """Sets more faults, after those that are set.

        Raises:
            UsageError: One of them is none; then none is set.
        """
        added = self._parsed(texts)
        self._tallies = [*self._tallies, *added]
        self._tell()
        return added

    def replace(self, texts: Iterable[str]) -> Sequence[Tally]:
        """Sets these faults and no others.

        Raises:
            UsageError: One of them is none; then all stays as it is.
        """
        self._tallies = self._parsed(texts)
        self._tell()
        return self._tallies

    def clear(self) -> None:
        """Forgets all faults."""
        self._tallies = []
        self._tell()

    def remove(self, names: Iterable[str]) -> None:
        """Forgets some faults, each given by its id or its text.

        Raises:
            NotFoundError: One of them is not set; then none is forgotten.
        """
        wanted = list(names)
        known = {name for each in self._tallies for name in (each.id, each.fault.text)}
        if unknown := [each for each in wanted if each not in known]:
            raise NotFoundError(
                f"No fault {unknown[0]} is set", hint="See which are:  runpodctl-py local faults"
            )
        self._tallies = [
            each for each in self._tallies if not {each.id, each.fault.text} & set(wanted)
        ]
        self._tell()

    def has(self, where: str, kind: Kind) -> bool:
        """Whether such a fault is set, whether it will strike or not."""
        return any(each.fault.where == where and each.fault.kind is kind for each in self)

    def concern(self, places: Iterable[str]) -> bool:
        """Whether a fault is set for one of these places, whether it will strike or not."""
        wanted = frozenset(places)
        return any(each.fault.where in wanted for each in self)

    def strike(self, places: Iterable[str], *kinds: Kind) -> Fault | None:
        """Returns the first fault that strikes at one of these places, if any does.

        Args:
            places: Where something is about to happen.
            kinds: What can go wrong with it; anything if none is named.
        """
        wanted = frozenset(places)
        for tally in self._tallies:
            fault = tally.fault
            matches = fault.where in wanted and (not kinds or fault.kind in kinds)
            if matches and tally.strikes(self._chance()):
                if tally.struck == 1:
                    _log.info("The fault %s strikes for the first time", fault.text)
                return fault
        return None

    def _parsed(self, texts: Iterable[str]) -> list[Tally]:
        faults = [parse_fault(each) for each in texts]
        return [Tally(str(next(self._ids)), each) for each in faults]

    def _tell(self) -> None:
        for tell in self.on_changed:
            tell()
