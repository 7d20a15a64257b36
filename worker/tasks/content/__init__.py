"""What the test family makes out of a text: a Markdown report, a picture, a table of metrics.

Every maker works in the ten named steps of `Maker.steps`; how long a step is made to last, and how
the file travels, is not their matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Step:
    """A part of the work.

    Attributes:
        name: What happens in it, as a person following the job reads it.
        work: Does it; called once, after the steps before it.
    """

    name: str
    work: Callable[[], None]


@dataclass(frozen=True)
class Content:
    """What came out.

    Attributes:
        label: The first part of the file's name, as in `text_result`.
        extension: The last part of the file's name, with its dot.
        content_type: The MIME type.
        data: The bytes.
        preview: A line or two for a person who has not opened the file.
    """

    label: str
    extension: str
    content_type: str
    data: bytes = field(repr=False)
    preview: str


class Maker(Protocol):
    """Makes one file, step by step; an object lives for one job."""

    @property
    def steps(self) -> Sequence[Step]:
        """The steps, in the order in which they must be worked."""

    def content(self) -> Content:
        """Return the file, once every step was worked."""
