"""RunPod's rules for templates and endpoints."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.config import Timings
from runpodctl_py.emulator.control.plane import EndpointDraft, TemplateDraft
from runpodctl_py.emulator.errors import ControlPlaneError
from runpodctl_py.emulator.jobs.job import JobStatus
from runpodctl_py.emulator.state import State
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.emulator.workers.record import Leaving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import World

    from runpodctl_py.emulator.store import Store
    from runpodctl_py.testing import FakeClock


@pytest.mark.proves("rule: endpoint-full-replace")
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


@pytest.mark.proves("rule: template-full-overwrite")
def test_a_template_update_overwrites_in_full(world: World) -> None:
    """Omitted variables and the omitted volume path are gone."""
    template_id = world.template(env={"A": "b"}, volume_mount_path="/data")
    given = {"name": "t", "image_name": "new", "is_serverless": True}
    template = world.state.save_template(TemplateDraft(template_id, given))
    assert (template.env, template.volume_mount_path, template.image_name) == ({}, None, "new")


@pytest.mark.proves("rule: template-names-unique")
def test_template_names_are_unique(world: World) -> None:
    """Saving under one's own name again is no conflict."""
    template_id = world.template("one")
    given = {"name": "one", "image_name": "i", "is_serverless": True}
    world.state.save_template(TemplateDraft(template_id, given))
    with pytest.raises(ControlPlaneError, match="unique: one"):
        world.template("one")


@pytest.mark.proves("rule: template-in-use")
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


@pytest.mark.proves("rule: template-no-volume")
def test_serverless_templates_have_no_volume(world: World) -> None:
    """RunPod refuses a volume for them."""
    with pytest.raises(ControlPlaneError, match="volumeInGb must be 0"):
        world.template(volume_in_gb=1)


@pytest.mark.proves("rule: endpoint-limits", "rule: pod-template-refused")
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"template_id": "nothere000"}, "Unable to find template"),
        ({"gpu_ids": "AMPERE_16,ADA_16"}, "Unknown GPU pool: ADA_16"),
        ({"idle_timeout": 0}, "idleTimeout"),
        ({"idle_timeout": 3601}, "idleTimeout"),
        ({"scaler_type": "RANDOM"}, "scalerType"),
        ({"scaler_value": 0}, "scalerValue"),
        ({"workers_min": 4}, "workersMin"),
        ({"gpu_count": 0}, "gpuCount"),
        ({"execution_timeout_ms": -1}, "executionTimeoutMs"),
        ({"instance_ids": ("cpu3c-2-4", "cpu3c-2-5")}, "Unknown CPU instance: cpu3c-2-5"),
        ({"network_volume_ids": ("nothere000",)}, "Unable to find network volume nothere000"),
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


@pytest.mark.proves("rule: worker-quota")
def test_the_quota_counts_all_endpoints(world: World) -> None:
    """The words say how many are left for this one."""
    world.endpoint(workers_max=28)
    with pytest.raises(ControlPlaneError, match="to at most 2\\."):
        world.endpoint(workers_max=3)


@pytest.mark.proves("rule: pod-template-refused")
def test_pod_templates_cannot_serve(world: World) -> None:
    """In RunPod's own words."""
    template_id = world.template("pod", is_serverless=False)
    with pytest.raises(ControlPlaneError, match="cannot use pod templates"):
        world.endpoint(template_id=template_id)


@pytest.mark.proves("rule: gpu-selection")
def test_unknown_exclusions_pass(world: World) -> None:
    """RunPod's GraphQL takes them silently."""
    assert world.endpoint(gpu_ids="AMPERE_48,-NVIDIA NOTHING").gpu_ids is not None


@pytest.mark.proves("rule: endpoint-inline-template")
def test_an_inline_template_lives_with_its_endpoint(world: World) -> None:
    """It is made and deleted along with it."""
    inline = TemplateDraft(None, {"name": "inline", "image_name": "i"})
    endpoint = world.state.save_endpoint(EndpointDraft(None, {"name": "e"}, inline))
    template = world.state.control.template_of(endpoint)
    assert (template.bound_endpoint_id, template.is_serverless) == (endpoint.id, True)
    world.state.delete_endpoint(endpoint.id)
    assert world.state.control.templates == {}


@pytest.mark.proves("rule: endpoint-inline-template")
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


@pytest.mark.proves("rule: rolling-release")
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


@pytest.mark.proves("rule: rolling-release")
def test_a_changed_template_replaces_the_workers(world: World) -> None:
    """Saving it unchanged does not."""
    endpoint = world.endpoint()
    template = world.state.control.template_of(endpoint)
    given = {"name": template.name, "image_name": "image", "is_serverless": True}
    world.state.save_template(TemplateDraft(template.id, given))
    assert world.state.endpoint(endpoint.id).version == 0
    world.state.save_template(TemplateDraft(template.id, {**given, "env": {"A": "1"}}))
    assert world.state.endpoint(endpoint.id).version == 1


@pytest.mark.proves("rule: endpoint-inline-template")
def test_a_template_that_came_along_is_replaced_in_place(world: World) -> None:
    """Nothing is left over: neither the old one now, nor the new one after the endpoint."""
    first = TemplateDraft(None, {"name": "inline", "image_name": "i"})
    endpoint = world.state.save_endpoint(EndpointDraft(None, {"name": "e"}, first))
    second = TemplateDraft(None, {"name": "inline", "image_name": "j"})
    updated = world.state.save_endpoint(EndpointDraft(endpoint.id, {"name": "e"}, second))
    assert (updated.template_id, updated.version) == (endpoint.template_id, 1)
    (template,) = world.state.control.templates.values()
    assert (template.image_name, template.bound_endpoint_id) == ("j", endpoint.id)
    world.state.change_endpoint(endpoint.id, template_id=world.template("other"))
    world.state.delete_endpoint(endpoint.id)
    assert [each.name for each in world.state.control.templates.values()] == ["other"]


def test_a_bound_template_that_another_endpoint_uses_stays(world: World) -> None:
    """It belongs to nobody then, and can be deleted once it is unused."""
    inline = TemplateDraft(None, {"name": "inline", "image_name": "i"})
    first = world.state.save_endpoint(EndpointDraft(None, {"name": "e"}, inline))
    second = world.endpoint(template_id=first.template_id)
    world.state.delete_endpoint(first.id)
    template = world.state.control.template_of(second)
    assert (template.id, template.bound_endpoint_id) == (first.template_id, None)
    world.state.delete_endpoint(second.id)
    world.state.control.delete_template("inline")


@pytest.mark.proves("rule: template-names-unique")
def test_a_template_that_comes_along_needs_a_name_of_its_own(world: World) -> None:
    """Neither it nor its endpoint is saved otherwise."""
    world.template("taken")
    inline = TemplateDraft(None, {"name": "taken", "image_name": "i"})
    with pytest.raises(ControlPlaneError, match="unique: taken"):
        world.state.save_endpoint(EndpointDraft(None, {"name": "e"}, inline))
    assert (len(world.state.control.templates), world.state.control.endpoints) == (1, {})


def test_a_bound_template_stays_bound_when_it_is_saved(world: World) -> None:
    """It still goes with its endpoint."""
    inline = TemplateDraft(None, {"name": "inline", "image_name": "i"})
    endpoint = world.state.save_endpoint(EndpointDraft(None, {"name": "e"}, inline))
    given = {"name": "inline", "image_name": "j", "is_serverless": True}
    saved = world.state.save_template(TemplateDraft(endpoint.template_id, given))
    assert saved.bound_endpoint_id == endpoint.id


@pytest.mark.proves("rule: endpoint-delete-workers")
def test_strictly_an_endpoint_without_workers_only_is_deleted(clock: FakeClock) -> None:
    """As RunPod's documents say; its service deletes any."""
    store = SqliteStore(":memory:")
    state = State(store, clock, Timings(), lambda _: None, worker_quota=30, strict=True)
    fields = {"name": "t", "image_name": "i", "is_serverless": True}
    template_id = state.save_template(TemplateDraft(None, fields)).id
    endpoint = state.save_endpoint(EndpointDraft(None, {"name": "e", "template_id": template_id}))
    with pytest.raises(ControlPlaneError, match="must both be 0"):
        state.delete_endpoint(endpoint.id)
    state.change_endpoint(endpoint.id, workers_min=0, workers_max=0)
    state.delete_endpoint(endpoint.id)
    assert state.control.endpoints == {}
    store.close()


@pytest.mark.proves("rule: endpoint-delete-workers")
def test_an_endpoint_with_workers_is_deleted(world: World) -> None:
    """They are told to go at once."""
    endpoint = world.endpoint(workers_min=1)
    worker = world.worker(endpoint)
    world.state.delete_endpoint(endpoint.id)
    assert worker.leaving is Leaving.AT_ONCE


DAY_S = 86_400


@pytest.mark.proves("rule: idle-endpoints")
def test_an_endpoint_that_nobody_uses_loses_its_workers(world: World) -> None:
    """Two are left after three days, none after seven; time alone does it."""
    endpoint = world.endpoint(workers_max=5, workers_min=3)

    def workers() -> tuple[int, int]:
        now = world.state.endpoint(endpoint.id)
        return now.workers_min, now.workers_max

    assert world.state.next_due_s() == 3 * DAY_S
    world.clock.advance(3 * DAY_S - 1)
    world.state.sweep()
    assert workers() == (3, 5)
    world.clock.advance(1)
    world.state.sweep()
    assert workers() == (2, 2)
    assert world.state.next_due_s() == 4 * DAY_S
    world.clock.advance(4 * DAY_S)
    world.state.sweep()
    assert workers() == (0, 0)
    assert world.state.next_due_s() is None
    assert world.state.endpoint(endpoint.id).version == 0


@pytest.mark.proves("rule: idle-endpoints")
def test_a_request_keeps_the_workers(world: World) -> None:
    """The days count from the last one."""
    endpoint = world.endpoint(workers_max=5)
    world.clock.advance(2 * DAY_S)
    world.submit(endpoint)
    world.clock.advance(2 * DAY_S)
    world.state.sweep()
    assert world.state.endpoint(endpoint.id).workers_max == 5
    assert world.state.next_due_s() == DAY_S


@pytest.mark.proves("rule: idle-endpoints")
def test_workers_that_somebody_asks_for_again_stay(world: World) -> None:
    """Otherwise an endpoint could never be woken."""
    endpoint = world.endpoint(workers_max=5)
    world.clock.advance(8 * DAY_S)
    world.state.sweep()
    world.state.change_endpoint(endpoint.id, workers_max=4)
    world.state.sweep()
    assert world.state.endpoint(endpoint.id).workers_max == 4


@pytest.mark.proves("rule: idle-endpoints")
def test_small_endpoints_are_left_alone_until_the_seventh_day(world: World) -> None:
    """Also when the quota has become smaller than what there is."""
    endpoint = world.endpoint(workers_max=1)
    assert world.state.next_due_s() == 7 * DAY_S
    world.state.control.worker_quota = 0
    world.clock.advance(7 * DAY_S)
    world.state.sweep()
    assert world.state.endpoint(endpoint.id).workers_max == 0


@pytest.mark.proves("rule: idle-endpoints")
def test_a_job_for_an_endpoint_without_workers_waits(world: World) -> None:
    """It is accepted, and taken as soon as there is a worker again."""
    endpoint = world.endpoint(workers_max=0)
    job = world.submit(endpoint)
    assert world.job(job).status is JobStatus.IN_QUEUE
    world.state.change_endpoint(endpoint.id, workers_max=1)
    (taken,) = world.state.fleet.take(world.worker(endpoint), 1)
    assert taken.id == job.id


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


@pytest.mark.parametrize("name", ["scaler_value", "gpu_count", "execution_timeout_ms"])
@pytest.mark.parametrize("value", [-1, 2**31, 10**400])
def test_numbers_that_nobody_can_hold_are_refused(world: World, name: str, value: int) -> None:
    """Neither the scaler nor the bill could reckon with them."""
    with pytest.raises(ControlPlaneError, match="must be between 0 and 2147483647"):
        world.endpoint(**{name: value})


@pytest.mark.parametrize("value", [-5, 10**400])
def test_a_disk_has_a_size(world: World, value: int) -> None:
    """The same for templates."""
    with pytest.raises(ControlPlaneError, match="containerDiskInGb must be between"):
        world.template(container_disk_in_gb=value)


def test_the_same_list_begins_no_version(world: World) -> None:
    """Whether an API made a list or a tuple of it."""
    endpoint = world.endpoint(gpu_ids="ADA_24", instance_ids=[])
    assert world.state.change_endpoint(endpoint.id, instance_ids=()).version == endpoint.version
    assert world.state.control.endpoints[endpoint.id].instance_ids == ()


class KilledError(Exception):
    """The process ends here."""


class DyingStore(SqliteStore):
    """A store whose process is killed before one of its writes."""

    writes_left = math.inf

    def _write(self, statement: str, *values: object) -> None:
        if not self.writes_left:
            raise KilledError
        self.writes_left -= 1
        super()._write(statement, *values)


def killed_at_each_write(
    folder: Path, start: Callable[[Store], World], move: Callable[[State], object]
) -> Iterator[tuple[World, bool]]:
    """Saves an endpoint with its template as `move` does, each time killed one write later.

    Yields what the start after each kill finds, and whether the move was through by then.
    """
    for writes in itertools.count():
        store = DyingStore(folder / f"{writes}.sqlite3")
        state = start(store).state
        before = store.load()
        store.writes_left = writes
        try:
            move(state)
        except KilledError:
            through = False
        else:
            through = True
        # The end of a process ends its connections: what was not committed is gone.
        store.close()
        again = SqliteStore(folder / f"{writes}.sqlite3")
        assert (again.load() == before) == (not through)
        yield start(again), through
        again.close()
        if through:
            return


def own_template(image: str) -> TemplateDraft:
    """Returns a template to make along with an endpoint."""
    return TemplateDraft(None, {"name": "own", "image_name": image})


@pytest.mark.proves("rule: endpoint-inline-template", "rule: restart")
def test_a_kill_leaves_an_endpoint_with_its_template_or_neither(
    tmp_path: Path, start: Callable[[Store], World]
) -> None:
    """At whichever write it comes; then both can be saved under the same names."""
    draft = EndpointDraft(None, {"name": "e"}, own_template("i"))
    kills = 0
    for world, through in killed_at_each_write(
        tmp_path, start, lambda state: state.save_endpoint(draft)
    ):
        control = world.state.control
        if not through:
            kills += 1
            assert (control.endpoints, control.templates) == ({}, {})
            world.state.save_endpoint(draft)
        (endpoint,) = control.endpoints.values()
        (template,) = control.templates.values()
        assert (endpoint.template_id, template.bound_endpoint_id) == (template.id, endpoint.id)
        assert len(world.state.releases.of(endpoint.id)) == 1
    # The template, the endpoint and its release; a kill was tried before each of them, at least.
    assert kills >= 3


@pytest.mark.proves("rule: endpoint-inline-template", "rule: restart")
def test_a_kill_leaves_an_endpoint_and_its_template_as_they_were_or_as_they_become(
    tmp_path: Path, start: Callable[[Store], World]
) -> None:
    """Never a new image in an old version, whose workers nobody would replace."""

    def prepared(store: Store) -> World:
        world = start(store)
        if not world.state.control.endpoints:
            world.state.save_endpoint(EndpointDraft(None, {"name": "e"}, own_template("old")))
        return world

    def changed(state: State) -> None:
        (endpoint_id,) = state.control.endpoints
        state.save_endpoint(EndpointDraft(endpoint_id, {"name": "e2"}, own_template("new")))

    for world, through in killed_at_each_write(tmp_path, prepared, changed):
        (endpoint,) = world.state.control.endpoints.values()
        (template,) = world.state.control.templates.values()
        found = (endpoint.name, template.image_name, endpoint.version)
        assert found == (("e2", "new", 1) if through else ("e", "old", 0))
        versions = [each.version for each in world.state.releases.of(endpoint.id)]
        assert versions == ([1, 0] if through else [0])


def test_an_endpoint_and_its_template_are_kept_together(world: World) -> None:
    """A kill between the two would leave a template whose name is taken for ever."""
    seen: list[int] = []

    class Watched(SqliteStore):
        def put(self, kind: str, resource_id: str, fields: Any) -> None:
            super().put(kind, resource_id, fields)
            seen.append(self._connection.in_transaction)

    store = Watched(":memory:")
    state = State(store, world.clock, Timings(), lambda _: None, worker_quota=30)
    template = TemplateDraft(None, {"name": "own", "image_name": "i"})
    state.save_endpoint(EndpointDraft(None, {"name": "e"}, template))
    assert seen == [True, True, True]
    store.close()
