"""Ids in RunPod's forms, and the same ones again where that is asked for."""

from __future__ import annotations

import re

from runpodctl_py.emulator.ids import Ids

FORMS = {
    "template": r"[a-z0-9]{10}",
    "endpoint": r"[a-z0-9]{14}",
    "worker": r"[a-z0-9]{14}",
    "release": r"rel_[a-z0-9]{10}",
    "batch": r"batch_[a-z0-9]{10}",
    "registry": r"[a-z0-9]{25}",
    "secret": r"[a-z0-9]{25}",
    "volume": r"[a-z0-9]{10}",
    "suffix": r"[a-z0-9]{7}",
    "delivery": r"[0-9a-f]{32}",
}


def some(ids: Ids) -> list[str]:
    """Makes two of each kind."""
    made = [getattr(ids, kind)() for kind in FORMS for _ in range(2)]
    return [*made, *(ids.job(sync=False) for _ in range(2))]


def test_they_look_like_runpods() -> None:
    """With a seed and without."""
    for ids in (Ids(), Ids(7)):
        for kind, form in FORMS.items():
            assert re.fullmatch(form, getattr(ids, kind)()), kind
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-u1", ids.job(sync=False))
        assert ids.job(sync=True).startswith("sync-")


def test_a_seed_makes_them_the_same() -> None:
    """And another seed, another start or none makes others."""
    assert some(Ids(7)) == some(Ids(7))
    everything = [*some(Ids(7)), *some(Ids(8)), *some(Ids(7, start=1)), *some(Ids()), *some(Ids())]
    assert len(set(everything)) == len(everything)


def test_kinds_do_not_disturb_each_other() -> None:
    """The first job's id does not depend on how many workers came before."""
    one, other = Ids(7), Ids(7)
    other.worker()
    assert one.job(sync=False) == other.job(sync=False)


def test_they_can_begin_anew() -> None:
    """As a reset needs it."""
    ids = Ids(7)
    first = some(ids)
    ids.begin(0)
    assert some(ids) == first
