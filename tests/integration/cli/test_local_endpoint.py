"""An endpoint that is made by itself on the local RunPod: what is told of who serves it."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runpodctl_py import settings as settings_module
from runpodctl_py.cli.context import Context
from runpodctl_py.cli.local_endpoint import ready_endpoint
from runpodctl_py.cli.output import Output
from runpodctl_py.cli.stand_ins import Serving, serving_endpoint, serving_image
from runpodctl_py.errors import UsageError
from runpodctl_py.presets import loading
from runpodctl_py.testing import LocalRunPodServer, ReplayServer, Simulation, WorkerCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio
HUMS = (
    "On the local RunPod a stand-in serves it, without the model: it hums the text instead of "
    "speaking it."
)
REMINDER = "A stand-in, without the model: it hums the text instead of speaking it."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A RunPod of its own: what is made on it stays there."""
    with LocalRunPodServer(tmp_path_factory.mktemp("local-endpoint")) as server:
        yield server


@contextlib.contextmanager
def command(
    server: LocalRunPodServer | ReplayServer, *, as_json: bool = False, is_quiet: bool = False
) -> Iterator[Context]:
    """What a command with --local stands on."""
    settings = settings_module.load({}, Path.cwd()).for_local(server.url, server.token)
    with contextlib.closing(
        Context(settings, Output(as_json=as_json, is_quiet=is_quiet))
    ) as context:
        yield context


async def test_a_stand_in_is_told_of_with_how_to_have_the_real_one(
    server: LocalRunPodServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the endpoint is made; later a line is enough, and nothing of it is on stdout."""
    preset = loading.load("chatterbox")
    with command(server) as context:
        made = await ready_endpoint(context, preset, dry_run=False)
    said = capsys.readouterr()
    with command(server) as context:
        found = await ready_endpoint(context, preset, dry_run=False)
    assert (said.out, found) == ("", made)
    lines = said.err.splitlines()
    assert lines[1] == f"! {HUMS}"
    assert [line.strip() for line in lines if "local up" in line] == [
        "runpodctl-py local up --containers",
        "runpodctl-py local up --handler FILE --endpoint chatterbox-tts --python ENV/bin/python",
    ]
    assert capsys.readouterr() == ("", f"! {REMINDER}\n")


async def test_who_wants_results_only_is_not_told(
    server: LocalRunPodServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither when the endpoint is made nor when it is there; nor of a job that is only shown."""
    preset = loading.load("chatterbox")
    for _ in range(2):
        with command(server, is_quiet=True) as context:
            await ready_endpoint(context, preset, dry_run=False)
    with command(server) as context:
        await ready_endpoint(context, preset, dry_run=True)
    assert capsys.readouterr() == ("", "")


async def test_a_program_is_told_in_json(
    server: LocalRunPodServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr each time, as all warnings are."""
    preset = loading.load("chatterbox")
    for sentence in (HUMS, REMINDER):
        with command(server, as_json=True) as context:
            await ready_endpoint(context, preset, dry_run=False)
        assert [json.loads(line) for line in capsys.readouterr().err.splitlines()] == [
            {"warning": sentence}
        ]


@pytest.mark.parametrize(
    "options",
    [
        {"images": {"worker-chatterbox": WorkerCommand(["told"])}},
        {"containers": "/usr/bin/docker"},
        {"simulation": Simulation()},
    ],
    ids=["command", "containers", "simulation"],
)
async def test_what_is_no_stand_in_is_not_called_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any]
) -> None:
    """The local RunPod knows what it starts; also for images that it would not start otherwise."""
    preset = loading.load("chatterbox")
    own = replace(
        preset,
        env_key="RUNPOD_WHISPER_ENDPOINT_ID",
        template=replace(preset.template, name="whisper", image="me/whisper:1"),
        endpoint=replace(preset.endpoint, name="whisper"),
    )
    with LocalRunPodServer(tmp_path / "own", **options) as server:
        for each in (preset, preset, *([own] if "images" not in options else [])):
            with command(server) as context:
                await ready_endpoint(context, each, dry_run=False)
    assert "stand-in" not in capsys.readouterr().err


async def test_a_handler_in_its_place_is_no_stand_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The endpoint is the preset's, and what serves it is the person's own."""
    preset, handler = loading.load("chatterbox"), tmp_path / "mine.py"
    handler.write_text("import runpod\nrunpod.serverless.start({'handler': lambda job: {}})\n")
    with LocalRunPodServer(tmp_path / "own") as server:
        with command(server) as context:
            await ready_endpoint(context, preset, dry_run=False)
        capsys.readouterr()
        body = {
            "name": preset.endpoint.name,
            "path": str(handler),
            "python": sys.executable,
            "args": [],
        }
        key = {"Authorization": f"Bearer {server.token}"}
        async with httpx.AsyncClient(base_url=server.url, headers=key, timeout=60) as client:
            served = await client.post("/_local/handlers", json=body)
            listed = (await client.get("/_local/status")).json()["endpoints"]
        assert served.status_code == HTTPStatus.OK
        assert [each["servedBy"] for each in listed] == ["handler"]
        with command(server) as context:
            await ready_endpoint(context, preset, dry_run=False)
    assert capsys.readouterr() == ("", "")


async def test_a_replay_does_not_say_who_serves(server: LocalRunPodServer, tmp_path: Path) -> None:
    """Nobody does; what it cannot answer is no reason to fail."""
    path = tmp_path / "empty.jsonl"
    with server.record(path):
        pass
    with ReplayServer(path) as replay, command(replay) as context:
        assert await serving_image(context, "me/worker-chatterbox:1") == Serving()
        assert await serving_endpoint(context, "abc") == Serving()


async def test_the_test_worker_is_no_stand_in(
    server: LocalRunPodServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the real one, and nothing is said."""
    with command(server) as context:
        await ready_endpoint(context, loading.load("test"), dry_run=False)
    assert "stand-in" not in capsys.readouterr().err


async def test_an_image_without_one_is_refused(server: LocalRunPodServer) -> None:
    """With the ways that there are; nothing is created."""
    preset = loading.load("chatterbox")
    own = replace(preset, template=replace(preset.template, image="me/whisper:1"))
    with command(server) as context, pytest.raises(UsageError) as caught:
        await ready_endpoint(context, own, dry_run=False)
    assert caught.value.message == (
        "The local RunPod does not run me/whisper:1 by itself, and has no stand-in for it"
    )
    assert "local up --detach --containers" in str(caught.value.hint)
    assert not context.settings.env_path.exists()
