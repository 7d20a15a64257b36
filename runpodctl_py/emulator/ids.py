"""The ids of everything the local RunPod makes, in RunPod's forms; repeatable with a seed.

Each kind of id has a sequence of its own, so that the ids of jobs do not depend on how many
workers were started before.
"""

from __future__ import annotations

import random
import string
from uuid import UUID

_ALPHABET = string.ascii_lowercase + string.digits


class Ids:
    """Makes ids: unpredictable ones, or with a seed the same ones in every run.

    Args:
        seed: What the sequences depend on; None makes every id unpredictable.
        start: How often the data was taken up before: a restart must not repeat ids.
    """

    def __init__(self, seed: int | None = None, start: int = 0) -> None:
        self._seed = seed
        self._start = start
        self._sequences: dict[str, random.Random] = {}

    def begin(self, start: int) -> None:
        """Begins the sequences of a start anew."""
        self._start = start
        self._sequences.clear()

    def sequence(self, kind: str) -> random.Random:
        """Returns what decides about one kind of things."""
        if (known := self._sequences.get(kind)) is None:
            known = self._sequences[kind] = (
                random.SystemRandom()
                if self._seed is None
                else random.Random(f"{self._seed} {self._start} {kind}")  # noqa: S311 - repeatable on purpose.
            )
        return known

    def template(self) -> str:
        """Returns a template id: 10 characters (API reference 1.3)."""
        return self._short("template", 10)

    def endpoint(self) -> str:
        """Returns an endpoint id: 14 characters (API reference 0)."""
        return self._short("endpoint", 14)

    def worker(self) -> str:
        """Returns a worker id: 14 characters (API reference 4.3)."""
        return self._short("worker", 14)

    def release(self) -> str:
        """Returns a release id (API reference 3.2)."""
        return f"rel_{self._short('release', 10)}"

    def registry(self) -> str:
        """Returns the id of a registry's credentials."""
        return self._short("registry", 25)

    def secret(self) -> str:
        """Returns a secret's id."""
        return self._short("secret", 25)

    def volume(self) -> str:
        """Returns a network volume's id."""
        return self._short("volume", 10)

    def suffix(self) -> str:
        """Returns what makes the name of an endpoint's own template unique."""
        return self._short("suffix", 7)

    def batch(self) -> str:
        """Returns a batch id as RunPod's page shows them."""
        return f"batch_{self._short('batch', 10)}"

    def job(self, *, sync: bool) -> str:
        """Returns a job id (API reference 4.3)."""
        return f"{'sync-' if sync else ''}{self._uuid('job')}-u1"

    def delivery(self) -> str:
        """Returns the id of a webhook's message."""
        return self._uuid("delivery").hex

    def _short(self, kind: str, length: int) -> str:
        """Returns a random id as RunPod makes them: lower-case letters and digits."""
        return "".join(self.sequence(kind).choices(_ALPHABET, k=length))

    def _uuid(self, kind: str) -> UUID:
        return UUID(int=self.sequence(kind).getrandbits(128), version=4)
