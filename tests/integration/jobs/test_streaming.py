"""Listening to a real worker of the official SDK on the local RunPod."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.api import serverless
from runpodctl_py.api.types import JobRequest
from runpodctl_py.clock import SystemClock
from runpodctl_py.jobs.follow import Finished, follow
from runpodctl_py.jobs.streaming import Piece, hearing, with_pieces
from runpodctl_py.testing import LocalRunPodServer
from runpodctl_py.testing.endpoint import served

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from runpodctl_py.jsontypes import JsonValue
    from runpodctl_py.testing.endpoint import LocalEndpoint

HANDLER = """
import pathlib, time
import runpod

def count(job):
    for number in range(3):
        yield {"number": number}
        # The next one is made when somebody has heard this one.
        until = pathlib.Path(job["input"]["folder"]) / str(number)
        while not until.exists():
            time.sleep(0.02)

runpod.serverless.start({"handler": count})
"""


class Heard:
    """Keeps what the job has yielded."""

    def __init__(self) -> None:
        self.pieces: list[JsonValue] = []

    async def known(self) -> Sequence[JsonValue]:
        """Return all of it."""
        return self.pieces

    async def keep(self, pieces: Sequence[JsonValue]) -> None:
        """Keep some more."""
        self.pieces += pieces


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEndpoint]:
    """A worker that yields, and does not collect what it has yielded."""
    folder = tmp_path_factory.mktemp("runpod")
    handler = folder / "counting.py"
    handler.write_text(HANDLER, "utf-8")
    with LocalRunPodServer(folder / "data") as server:
        options = {"env": {}, "args": [], "python": sys.executable, "workers_max": 1}
        with served(server, handler, **options) as endpoint:
            yield endpoint


@pytest.mark.anyio
async def test_pieces_arrive_while_the_job_runs(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    """Each before the next one is made; the job's output is what was heard."""
    base_url, _, endpoint_id = endpoint.url.rpartition("/")
    async with serverless.connect(base_url, endpoint.server.token, endpoint_id) as client:
        job = await client.run(JobRequest({"folder": str(tmp_path)}))
        heard, clock = Heard(), SystemClock()
        events = follow(client, job, clock, timeout_s=60)
        async for event in hearing(events, client, job.job_id, clock, heard):
            if isinstance(event, Piece):
                (tmp_path / str(len(heard.pieces) - 1)).touch()
            elif isinstance(event, Finished):
                finished = await with_pieces(client, event.job, heard)
    assert heard.pieces == [{"number": number} for number in range(3)]
    assert (finished.status.value, finished.output) == ("COMPLETED", heard.pieces)
