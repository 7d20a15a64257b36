"""What begins a new version of an endpoint, and what is told about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runpodctl_py.emulator.control.model import DiffEntry, Endpoint, Template
from runpodctl_py.emulator.control.plane import TemplateDraft
from runpodctl_py.emulator.control.releases import KEPT_PER_ENDPOINT, Configuration, changes
from runpodctl_py.emulator.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import World

    from runpodctl_py.emulator.store import Store


def test_an_endpoint_begins_with_a_release_that_changes_nothing(world: World) -> None:
    """It has the version the endpoint has."""
    endpoint = world.endpoint()
    (release,) = world.state.releases.of(endpoint.id)
    assert (release.version, release.diff, release.created_at) == (0, (), endpoint.created_at)


@pytest.mark.proves("rule: releases", "rule: rolling-release")
def test_a_change_of_the_endpoint_is_told_with_runpods_names(world: World) -> None:
    """The newest release comes first; what replaces no worker is no part of it."""
    endpoint = world.endpoint(gpu_ids="AMPERE_16")
    world.clock.advance(5)
    world.state.change_endpoint(endpoint.id, gpu_count=2, locations="US-KS-2", workers_max=5)
    newest, first = world.state.releases.of(endpoint.id)
    assert (newest.version, first.version) == (1, 0)
    assert newest.created_at == first.created_at + 5
    assert newest.diff == (
        DiffEntry("gpuCount", 1, 2),
        DiffEntry("locations", None, "US-KS-2"),
    )


@pytest.mark.proves("rule: rolling-release")
def test_a_change_of_the_template_is_one_of_all_its_endpoints(world: World) -> None:
    """Its fields are told as the template's; its name is nobody's business."""
    one = world.endpoint()
    two = world.endpoint(template_id=one.template_id)
    given = {"name": "renamed", "image_name": "image:2", "is_serverless": True, "env": {"A": "1"}}
    world.state.save_template(TemplateDraft(one.template_id, given))
    for endpoint in (one, two):
        newest = world.state.releases.of(endpoint.id)[0]
        assert newest.diff == (
            DiffEntry("template.imageName", "image", "image:2"),
            DiffEntry("template.env", {}, {"A": "1"}),
        )


@pytest.mark.proves("rule: rolling-release")
def test_what_replaces_no_worker_is_no_release(world: World) -> None:
    """Workers, scaling and timeouts, and the words around a template."""
    endpoint = world.endpoint()
    world.state.change_endpoint(endpoint.id, workers_max=1, scaler_value=9, idle_timeout=60)
    given = {"name": "other", "image_name": "image", "is_serverless": True, "readme": "new"}
    world.state.save_template(TemplateDraft(endpoint.template_id, given))
    assert len(world.state.releases.of(endpoint.id)) == 1
    assert world.state.endpoint(endpoint.id).version == 0


def test_releases_outlive_a_restart_and_not_their_endpoint(start: Callable[[Store], World]) -> None:
    """They come back as they were; sequences are JSON's from the beginning."""
    store = SqliteStore(":memory:")
    world = start(store)
    endpoint = world.endpoint(instance_ids=("cpu3c-2-4",))
    world.state.change_endpoint(endpoint.id, instance_ids=("cpu3c-4-8", "cpu5c-4-8"))
    releases = world.state.releases.of(endpoint.id)
    world = start(store)
    assert world.state.releases.of(endpoint.id) == releases
    assert releases[0].diff == (
        DiffEntry("instanceIds", ["cpu3c-2-4"], ["cpu3c-4-8", "cpu5c-4-8"]),
    )
    world.state.delete_endpoint(endpoint.id)
    assert start(store).state.releases.of(endpoint.id) == []
    store.close()


def test_only_the_last_releases_are_remembered(start: Callable[[Store], World]) -> None:
    """An endpoint that is released all the time does not fill the memory."""
    store = SqliteStore(":memory:")
    world = start(store)
    endpoint = world.endpoint()
    for number in range(KEPT_PER_ENDPOINT + 5):
        world.state.change_endpoint(endpoint.id, locations=f"place {number}")
    releases = world.state.releases.of(endpoint.id)
    assert (len(releases), releases[0].version) == (KEPT_PER_ENDPOINT, KEPT_PER_ENDPOINT + 5)
    assert start(store).state.releases.of(endpoint.id) == releases
    store.close()


def test_every_template_field_that_matters_is_compared() -> None:
    """A field that was forgotten would let old workers live on."""
    endpoint = Endpoint(id="e", name="e", created_at=0, template_id="t")
    before = Configuration(endpoint, Template(id="t", name="a", image_name="i"))
    after = Configuration(
        endpoint,
        Template(
            id="t",
            name="b",
            image_name="j",
            docker_args="x",
            container_disk_in_gb=5,
            volume_mount_path="/data",
            ports="80/http",
            ports_config=({"port": "80", "name": "web"},),
            env={"A": "1"},
            start_jupyter=True,
            start_script="x",
            start_ssh=True,
            advanced_start=True,
            container_registry_auth_id="r",
            readme="x",
            is_public=True,
        ),
    )
    assert [each.field.removeprefix("template.") for each in changes(before, after)] == [
        "imageName",
        "dockerArgs",
        "containerDiskInGb",
        "volumeMountPath",
        "ports",
        "portsConfig",
        "env",
        "startJupyter",
        "startScript",
        "startSsh",
        "advancedStart",
        "containerRegistryAuthId",
    ]
