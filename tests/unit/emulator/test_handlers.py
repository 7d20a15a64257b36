"""Handlers of one's own: what they are called, which endpoint serves them, what a change does."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.emulator.workers.handlers import Handler, default_name, release, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import World

HANDLER = Handler("my-model", Path("/code/handler.py"), Path(sys.executable), ("--size", "small"))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/code/my-model/handler.py", "my-model"),
        ("/code/my model/rp_handler.py", "my-model"),
        ("/code/my-model/upscale.py", "upscale"),
        ("/main.py", "main"),
    ],
)
def test_a_handler_is_called_after_what_tells_most(path: str, name: str) -> None:
    """Its file, unless files of all handlers are called so; then its folder."""
    assert default_name(Path(path)) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-a"])
def test_not_everything_is_a_name(name: str) -> None:
    """It has to be part of an image's name."""
    with pytest.raises(ValueError, match="is no name"):
        replace(HANDLER, name=name)


@pytest.mark.proves("rule: own-handlers")
def test_a_handler_runs_in_its_folder() -> None:
    """In its own interpreter, with its own arguments, its output not held back."""
    argv = [sys.executable, "-u", "/code/handler.py", "--size", "small"]
    assert (list(HANDLER.command.argv), HANDLER.command.cwd) == (argv, Path("/code"))


@pytest.mark.proves("rule: own-handlers")
def test_an_endpoint_is_made_for_a_handler(world: World) -> None:
    """With a template whose image stands for the handler, which goes when the endpoint goes."""
    state = world.state
    endpoint = serve(state, HANDLER)
    template = state.control.template_of(endpoint)
    assert (endpoint.name, endpoint.workers_min, template.image_name) == (
        "my-model",
        0,
        "local/my-model:1",
    )
    # As endpoints of RunPod's console have it: a handler that hangs ends.
    assert endpoint.execution_timeout_ms == 600_000
    assert state.handlers.of_image(template.image_name) == HANDLER
    state.delete_endpoint(endpoint.id)
    assert state.control.templates == {}


def test_an_endpoint_that_is_there_keeps_its_settings(world: World) -> None:
    """Only the image is another one: its workers are replaced."""
    template_id = world.template("theirs", image_name="me/model:1", env={"A": "b"})
    before = world.endpoint(name="my-model", template_id=template_id, idle_timeout=77)
    after = serve(world.state, HANDLER)
    template = world.state.control.template_of(after)
    assert (after.id, after.idle_timeout, after.version) == (before.id, 77, before.version + 1)
    assert (template.image_name, template.env) == ("local/my-model:1", {"A": "b"})


@pytest.mark.proves("rule: own-handlers")
def test_a_change_begins_a_version(world: World) -> None:
    """As long as the endpoint runs this handler."""
    first = serve(world.state, HANDLER)
    second = release(world.state, HANDLER)
    assert second is not None
    assert second.version == first.version + 1
    assert world.state.control.template_of(second).image_name == "local/my-model:2"
    serve(world.state, replace(HANDLER, args=()))
    assert release(world.state, HANDLER) is None
    world.state.delete_endpoint(first.id)
    assert release(world.state, replace(HANDLER, args=())) is None


def test_handlers_outlive_a_restart(tmp_path: Path, start: Callable[[SqliteStore], World]) -> None:
    """With all that is known of them."""
    first = SqliteStore(tmp_path / "state")
    serve(start(first).state, HANDLER)
    first.close()
    second = SqliteStore(tmp_path / "state")
    state = start(second).state
    assert state.handlers.of_image("local/my-model:1") == HANDLER
    assert state.handlers.of_image("local/other:1") is None
    assert state.handlers.of_image("my-model:1") is None
    second.close()
