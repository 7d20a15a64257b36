"""Serving a handler of one's own, over HTTP."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.cli.local_up import serve
from runpodctl_py.emulator.daemon import Announcement
from runpodctl_py.emulator.workers.handlers import Handler
from runpodctl_py.errors import RefusedError
from runpodctl_py.testing import LocalRunPodServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Client


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, Any]:
    """What asks for a handler that ends at once."""
    file = tmp_path / "handler.py"
    file.write_text("raise SystemExit('no model here')\n")
    return {"name": "mine", "path": str(file), "python": sys.executable, "args": []}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[LocalRunPodServer]:
    """A local RunPod with room for fewer workers than one endpoint asks for."""
    with LocalRunPodServer(tmp_path / "small", worker_quota=2) as server:
        yield server


@pytest.mark.proves("rule: own-handlers")
def test_a_handler_that_fails_leaves_no_endpoint(client: Client, broken: dict[str, Any]) -> None:
    """It would take of the quota; one that is watched may come to work."""
    for is_watched in (True, False):
        asked = {**broken, "name": f"watched {is_watched}".replace(" ", "-"), "reload": is_watched}
        answer = client.http.post("/_local/handlers", json=asked).json()
        assert answer["worker"]["state"] == "UNHEALTHY"
        assert answer["log"][0] == "no model here"
        listed = client.http.get("/_local/status").json()["endpoints"]
        assert (answer["endpointId"] in {each["id"] for each in listed}) is is_watched


@pytest.mark.parametrize("change", [{"name": "a b"}, {"path": 1}, {"args": [1]}, {"python": None}])
def test_what_describes_no_handler_is_refused(
    client: Client, broken: dict[str, Any], change: dict[str, Any]
) -> None:
    """And nothing is made of it."""
    answer = client.http.post("/_local/handlers", json={**broken, **change})
    assert (answer.status_code, "describes no handler" in answer.json()["error"]) == (400, True)


def test_a_handler_for_which_there_is_no_room(small: LocalRunPodServer, tmp_path: Path) -> None:
    """The words are RunPod's, the hint is ours."""
    running = Announcement(small.url, 0, small.token, 0, "", 0.0, until_unused=False)
    handler = Handler("mine", tmp_path / "handler.py", tmp_path / "python")
    with pytest.raises(RefusedError, match="workers quota") as refused:
        asyncio.run(serve(running, handler, is_watched=False))
    assert "teardown ENDPOINT_ID --local" in str(refused.value.hint)
