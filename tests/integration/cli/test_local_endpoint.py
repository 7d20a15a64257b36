"""An endpoint that is made by itself on the local RunPod: what is told of who serves it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py import settings as settings_module
from runpodctl_py.cli.context import Context
from runpodctl_py.cli.local_endpoint import ready_endpoint
from runpodctl_py.cli.output import Output
from runpodctl_py.errors import UsageError
from runpodctl_py.presets import loading
from runpodctl_py.testing import LocalRunPodServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio
HUMS = (
    "On the local RunPod a stand-in serves it, without the model: it hums the text instead of "
    "speaking it."
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A RunPod of its own: what is made on it stays there."""
    with LocalRunPodServer(tmp_path_factory.mktemp("local-endpoint")) as server:
        yield server


@contextlib.contextmanager
def command(server: LocalRunPodServer, *, as_json: bool = False) -> Iterator[Context]:
    """What a command with --local stands on."""
    settings = settings_module.load({}, Path.cwd()).for_local(server.url, server.token)
    with contextlib.closing(Context(settings, Output(as_json=as_json))) as context:
        yield context


async def test_a_stand_in_is_told_of_with_how_to_have_the_real_one(
    server: LocalRunPodServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, when the endpoint is made; and nothing of it is on stdout."""
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
    assert capsys.readouterr() == ("", "")


async def test_a_program_is_told_in_json(
    server: LocalRunPodServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr, as all warnings are."""
    preset = loading.load("chatterbox")
    with command(server, as_json=True) as context:
        await ready_endpoint(context, preset, dry_run=False)
    assert [json.loads(line) for line in capsys.readouterr().err.splitlines()] == [
        {"warning": HUMS}
    ]


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
