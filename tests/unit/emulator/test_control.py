"""RunPod's rules for templates and endpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.control import EndpointDraft, TemplateDraft
from runpodctl_py.emulator.errors import ControlPlaneError

if TYPE_CHECKING:
    from conftest import World


def test_an_update_resets_what_it_does_not_mention(world: World) -> None:
    """Observed: only template, CUDA, compliance and model references are kept."""
    endpoint = world.endpoint(
        workers_max=7,
        idle_timeout=42,
        scaler_value=9,
        execution_timeout_ms=5000,
        allowed_cuda_versions="12.4",
        compliance=("GDPR",),
        model_references=("m",),
    )
    updated = world.state.save_endpoint(
        EndpointDraft(endpoint.id, {"name": "e2", "gpu_ids": "AMPERE_16"})
    )
    assert updated == replace(
        endpoint,
        name="e2",
        gpu_ids="AMPERE_16",
        workers_max=3,
        idle_timeout=10,
        scaler_value=4,
        execution_timeout_ms=0,
        version=1,
    )


def test_a_template_update_overwrites_in_full(world: World) -> None:
    """Omitted variables and the omitted volume path are gone."""
    template_id = world.template(env={"A": "b"}, volume_mount_path="/data")
    given = {"name": "t", "image_name": "new", "is_serverless": True}
    template = world.state.save_template(TemplateDraft(template_id, given))
    assert (template.env, template.volume_mount_path, template.image_name) == ({}, None, "new")


def test_template_names_are_unique(world: World) -> None:
    """Saving under one's own name again is no conflict."""
    template_id = world.template("one")
    given = {"name": "one", "image_name": "i", "is_serverless": True}
    world.state.save_template(TemplateDraft(template_id, given))
    with pytest.raises(ControlPlaneError, match="unique: one"):
        world.template("one")


def test_a_template_in_use_cannot_be_deleted(world: World) -> None:
    """It can, once its endpoint is gone."""
    endpoint = world.endpoint()
    name = world.state.control.template_of(endpoint).name
    with pytest.raises(ControlPlaneError, match=f"in use by endpoint {endpoint.id}"):
        world.state.control.delete_template(name)
    world.state.delete_endpoint(endpoint.id)
    world.state.control.delete_template(name)
    with pytest.raises(ControlPlaneError, match="Unable to find template"):
        world.state.control.delete_template(name)


def test_serverless_templates_have_no_volume(world: World) -> None:
    """RunPod refuses a volume for them."""
    with pytest.raises(ControlPlaneError, match="volumeInGb must be 0"):
        world.template(volume_in_gb=1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"template_id": "nothere000"}, "Unable to find template"),
        ({"gpu_ids": "AMPERE_16,ADA_16"}, "Unknown GPU pool: ADA_16"),
        ({"idle_timeout": 3601}, "idleTimeout"),
        ({"scaler_type": "RANDOM"}, "scalerType"),
        ({"scaler_value": 0}, "scalerValue"),
        ({"workers_min": 4}, "workersMin"),
        ({"gpu_count": 0}, "gpuCount"),
        ({"execution_timeout_ms": -1}, "executionTimeoutMs"),
        (
            {"workers_max": 31},
            r"must not exceed your workers quota \(30\)\. .* to at most 30\.",
        ),
    ],
)
def test_impossible_endpoints_are_refused(world: World, fields: dict[str, Any], words: str) -> None:
    """And nothing is saved."""
    with pytest.raises(ControlPlaneError, match=words):
        world.endpoint(**fields)
    assert world.state.control.endpoints == {}


def test_the_quota_counts_all_endpoints(world: World) -> None:
    """The words say how many are left for this one."""
    world.endpoint(workers_max=28)
    with pytest.raises(ControlPlaneError, match="to at most 2\\."):
        world.endpoint(workers_max=3)


def test_pod_templates_cannot_serve(world: World) -> None:
    """In RunPod's own words."""
    template_id = world.template("pod", is_serverless=False)
    with pytest.raises(ControlPlaneError, match="cannot use pod templates"):
        world.endpoint(template_id=template_id)


def test_unknown_exclusions_pass(world: World) -> None:
    """RunPod's GraphQL takes them silently."""
    assert world.endpoint(gpu_ids="AMPERE_48,-NVIDIA NOTHING").gpu_ids is not None


def test_an_inline_template_lives_with_its_endpoint(world: World) -> None:
    """It is made and deleted along with it."""
    inline = TemplateDraft(None, {"name": "inline", "image_name": "i"})
    endpoint = world.state.save_endpoint(EndpointDraft(None, {"name": "e"}, inline))
    template = world.state.control.template_of(endpoint)
    assert (template.bound_endpoint_id, template.is_serverless) == (endpoint.id, True)
    world.state.delete_endpoint(endpoint.id)
    assert world.state.control.templates == {}


def test_template_and_template_id_exclude_each_other(world: World) -> None:
    """Sending both is rejected."""
    inline = TemplateDraft(None, {"name": "inline", "image_name": "i"})
    given = {"name": "e", "template_id": world.template()}
    with pytest.raises(ControlPlaneError, match="not both"):
        world.state.save_endpoint(EndpointDraft(None, given, inline))


def test_an_update_can_bring_a_template_along(world: World) -> None:
    """The kept template id does not count as sent."""
    endpoint = world.endpoint()
    inline = TemplateDraft(None, {"name": "inline", "image_name": "i"})
    updated = world.state.save_endpoint(EndpointDraft(endpoint.id, {"name": "e"}, inline))
    assert world.state.control.template_of(updated).name == "inline"


@pytest.mark.parametrize(
    ("fields", "version"),
    [({"workers_max": 5}, 0), ({"idle_timeout": 60}, 0), ({"gpu_ids": "ADA_24"}, 1)],
)
def test_some_changes_replace_the_workers(
    world: World, fields: dict[str, Any], version: int
) -> None:
    """What a worker is made of does; how many there are does not."""
    endpoint = world.endpoint()
    assert world.state.change_endpoint(endpoint.id, **fields).version == version


def test_a_changed_template_replaces_the_workers(world: World) -> None:
    """Saving it unchanged does not."""
    endpoint = world.endpoint()
    template = world.state.control.template_of(endpoint)
    given = {"name": template.name, "image_name": "image", "is_serverless": True}
    world.state.save_template(TemplateDraft(template.id, given))
    assert world.state.endpoint(endpoint.id).version == 0
    world.state.save_template(TemplateDraft(template.id, {**given, "env": {"A": "1"}}))
    assert world.state.endpoint(endpoint.id).version == 1


def test_unknown_endpoints_cannot_be_changed(world: World) -> None:
    """Neither saved, nor changed, nor deleted."""
    for change in (
        lambda: world.state.save_endpoint(EndpointDraft("nope", {"name": "e"})),
        lambda: world.state.change_endpoint("nope", workers_max=1),
        lambda: world.state.delete_endpoint("nope"),
        lambda: world.state.save_template(TemplateDraft("nope", {"name": "t", "image_name": "i"})),
    ):
        with pytest.raises(ControlPlaneError, match="Unable to find"):
            change()
