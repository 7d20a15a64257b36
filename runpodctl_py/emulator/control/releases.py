"""The versions of each endpoint, and what each of them changed (API reference 3.2, `Release`).

`changes` decides whether a change replaces an endpoint's workers; `plane.py` asks it, and has
the version recorded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.control.model import (
    STARTS_A_RELEASE,
    TEMPLATE_STARTS_A_RELEASE,
    DiffEntry,
    Release,
    camel_case,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runpodctl_py.emulator.control.model import Endpoint, Template
    from runpodctl_py.emulator.ids import Ids
    from runpodctl_py.emulator.store import Snapshot, Store

KEPT_PER_ENDPOINT = 100
"""How many releases of an endpoint are remembered; how many RunPod keeps is not known."""

_KIND = "release"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the workers of one version of an endpoint are made of."""

    endpoint: Endpoint
    template: Template


class Releases:
    """The releases of all endpoints.

    Args:
        store: Where they are kept.
        kept: What it held at the start.
        now: Tells the wall time.
        ids: Makes the ids.
    """

    def __init__(self, store: Store, kept: Snapshot, now: Callable[[], float], ids: Ids) -> None:
        self._store = store
        self._now = now
        self._ids = ids
        self._releases: dict[str, list[Release]] = {}
        for each in kept.of(_KIND):
            diff = tuple(DiffEntry(**entry) for entry in each["diff"])
            release = Release(**{**each, "diff": diff})
            self._releases.setdefault(release.endpoint_id, []).append(release)

    def of(self, endpoint_id: str) -> list[Release]:
        """Returns an endpoint's releases, the newest first."""
        return self._releases.get(endpoint_id, [])[::-1]

    def record(self, endpoint: Endpoint, diff: tuple[DiffEntry, ...]) -> None:
        """Notes that a new version of an endpoint begins, and what it changes."""
        release = Release(self._ids.release(), endpoint.id, endpoint.version, self._now(), diff)
        releases = [*self._releases.get(endpoint.id, ()), release]
        with self._store.together():
            self._store.put(_KIND, release.id, asdict(release))
            for old in releases[:-KEPT_PER_ENDPOINT]:
                self._store.drop(_KIND, old.id)
        self._releases[endpoint.id] = releases[-KEPT_PER_ENDPOINT:]

    def forget(self, endpoint_id: str) -> None:
        """Removes the releases of an endpoint that is deleted."""
        for release in self._releases.get(endpoint_id, ()):
            self._store.drop(_KIND, release.id)
        self._releases.pop(endpoint_id, None)


def changes(before: Configuration, after: Configuration) -> tuple[DiffEntry, ...]:
    """Returns what makes the workers of two configurations differ; nothing, if they do not."""
    return (
        *_differing("", STARTS_A_RELEASE, before.endpoint, after.endpoint),
        *_differing("template.", TEMPLATE_STARTS_A_RELEASE, before.template, after.template),
    )


def _differing(prefix: str, names: Iterable[str], old: Any, new: Any) -> Iterator[DiffEntry]:
    for name in names:
        was, becomes = getattr(old, name), getattr(new, name)
        if was != becomes:
            yield DiffEntry(prefix + camel_case(name), _as_json(was), _as_json(becomes))


def _as_json(value: Any) -> Any:
    """Returns a field as it will be read back: JSON knows no tuples."""
    return list(value) if isinstance(value, tuple) else value
