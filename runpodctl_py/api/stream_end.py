"""Whether a stream of server-sent events came to its end, or its connection only closed.

Owns the mark with which OpenAI's streams end. The official client takes it out of a stream and does
not tell whether it was there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_MARK = re.compile(rb"[\r\n]data: ?\[DONE\]")
_TAIL_BYTES = len(b"\ndata: [DONE]") - 1
"""How much is remembered of what was read: the mark may be cut anywhere."""


async def watch(response: httpx.Response) -> None:
    """Have an answer's end watched while it is read; a hook of httpx's client."""
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _Watched(response.stream)


def has_ended(body: object) -> bool:
    """Tell whether the mark was in what was read of an answer's body (`response.stream`).

    It has to be watched, and to be sent as it is: nothing is found in what is compressed.
    """
    return isinstance(body, _Watched) and body.has_ended


class _Watched(httpx.AsyncByteStream):
    """A body that is passed on as it comes.

    Args:
        body: The body.

    Attributes:
        has_ended: Whether the mark was in it.
    """

    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self._body = body
        self._tail = b"\n"
        self.has_ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._body:
            read = self._tail + part
            self.has_ended = self.has_ended or _MARK.search(read) is not None
            self._tail = read[-_TAIL_BYTES:]
            yield part

    async def aclose(self) -> None:
        """Close the body."""
        await self._body.aclose()
