from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.api.types import Endpoint, Scaler, Template
from runpodctl_py.errors import (
    AnswerLostError,
    ConflictError,
    NotFoundError,
    RefusedError,
    RunpodctlError,
    UnauthorizedError,
)
from runpodctl_py.gpus import GpuSelection
from runpodctl_py.provision import Applied, Desired, FieldChange, Plan, apply, plan
from runpodctl_py.teardown import (
    TEMPLATE_DELETE_LIMIT_S,
    Teardown,
    TeardownStep,
    find_teardown,
    tear_down,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio


class Account:
    """A `Provisioner` in memory, with RunPod's rules (API reference 1.3, 1.4).

    Names of templates are unique, a save replaces everything, and a template that an endpoint uses
    cannot be deleted. A call named in `troubles` raises its error: before it takes effect, or
    after it if the answer is what got lost.
    """

    def __init__(self) -> None:
        self.saved_templates: dict[str, Template] = {}
        self.saved_endpoints: dict[str, Endpoint] = {}
        self.writes: list[str] = []
        self.troubles: dict[str, RunpodctlError] = {}

    async def templates(self) -> Sequence[Template]:
        """Return every template."""
        return list(self.saved_templates.values())

    async def endpoints(self) -> Sequence[Endpoint]:
        """Return every endpoint."""
        return list(self.saved_endpoints.values())

    async def save_template(self, template: Template) -> str:
        """Keep a template whose name is free."""
        self._begin("save_template")
        template_id = template.template_id or f"template{len(self.saved_templates)}"
        others = (t for t in self.saved_templates.values() if t.template_id != template_id)
        if any(t.name == template.name for t in others):
            raise RefusedError("RunPod says: Template name must be unique.")
        self.saved_templates[template_id] = replace(template, template_id=template_id)
        self._end("save_template")
        return template_id

    async def save_endpoint(self, endpoint: Endpoint) -> str:
        """Keep an endpoint whose template is there."""
        self._begin("save_endpoint")
        if endpoint.template_id not in self.saved_templates:
            raise RefusedError("RunPod says: Unable to find template")
        endpoint_id = endpoint.endpoint_id or f"endpoint{len(self.saved_endpoints)}"
        self.saved_endpoints[endpoint_id] = replace(endpoint, endpoint_id=endpoint_id)
        self._end("save_endpoint")
        return endpoint_id

    async def delete_template(self, name: str) -> None:
        """Forget a template that nothing uses."""
        self._begin("delete_template")
        found = next(t for t in self.saved_templates.values() if t.name == name)
        if any(e.template_id == found.template_id for e in self.saved_endpoints.values()):
            raise RefusedError("RunPod says: Template is in use.")
        del self.saved_templates[str(found.template_id)]
        self._end("delete_template")

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Forget an endpoint."""
        self._begin("delete_endpoint")
        del self.saved_endpoints[endpoint_id]
        self._end("delete_endpoint")

    def _begin(self, call: str) -> None:
        self.writes.append(call)
        if call in self.troubles and not isinstance(self.troubles[call], AnswerLostError):
            raise self.troubles[call]

    def _end(self, call: str) -> None:
        if call in self.troubles:
            raise self.troubles[call]


class StillClock:
    """A `Clock` that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def now_s(self) -> float:
        """Return the time."""
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self._now_s += seconds


@pytest.fixture
def account() -> Account:
    """An account with nothing in it."""
    return Account()


def desired(**changes: Any) -> Desired:
    """Make a wish for an endpoint called `test`."""
    given: dict[str, Any] = {
        "name": "test",
        "image": "img:1",
        "container_disk_gb": 10,
        "gpu": GpuSelection(("AMPERE_16", "AMPERE_24")),
        "gpu_count": 1,
        "workers_min": 0,
        "workers_max": 3,
        "idle_timeout_s": 5,
        "execution_timeout_s": 600,
        "scaler": Scaler.QUEUE_DELAY,
        "scaler_value": 4,
        "flashboot": True,
    }
    return Desired(**given | changes)


def template(**changes: Any) -> Template:
    """Make a template as `desired` would."""
    given: dict[str, Any] = {
        "template_id": "template0",
        "name": "test",
        "image": "img:1",
        "container_disk_gb": 10,
    }
    return Template(**given | changes)


def endpoint(**changes: Any) -> Endpoint:
    """Make an endpoint as `desired` would."""
    given: dict[str, Any] = {
        "endpoint_id": "endpoint0",
        "name": "test",
        "template_id": "template0",
        "gpu_ids": "AMPERE_16,AMPERE_24",
        "gpu_count": 1,
        "workers_min": 0,
        "workers_max": 3,
        "idle_timeout_s": 5,
        "execution_timeout_ms": 600_000,
        "scaler": Scaler.QUEUE_DELAY,
        "scaler_value": 4,
        "flashboot": "FLASHBOOT",
    }
    return Endpoint(**given | changes)


def have(account: Account, *resources: Template | Endpoint) -> None:
    """Put templates and endpoints into an account."""
    for resource in resources:
        if isinstance(resource, Template):
            account.saved_templates[str(resource.template_id)] = resource
        else:
            account.saved_endpoints[str(resource.endpoint_id)] = resource


async def applied(account: Account, what: Plan) -> list[Applied]:
    """Carry a plan out to its end."""
    return [step async for step in apply(account, what)]


async def set_up(
    account: Account, wish: Desired, known_id: str | None = None
) -> tuple[Plan, list[Applied]]:
    """Plan and apply."""
    made = await plan(account, wish, known_id)
    return made, await applied(account, made)


async def test_a_new_endpoint_gets_its_template_first(account: Account) -> None:
    """And both are exactly as desired."""
    _, steps = await set_up(account, desired())

    assert steps == [
        Applied("template", "create", "template0", "test"),
        Applied("endpoint", "create", "endpoint0", "test"),
    ]
    assert account.saved_templates == {"template0": template()}
    assert account.saved_endpoints == {"endpoint0": endpoint()}


@pytest.mark.parametrize("known_id", [None, "endpoint0"])
async def test_a_second_run_writes_nothing(account: Account, known_id: str | None) -> None:
    """Whether the id was remembered or not."""
    await set_up(account, desired(env={"A": "1"}, data_centers=("EU-RO-1",)))
    account.writes.clear()

    again, steps = await set_up(
        account, desired(env={"A": "1"}, data_centers=("EU-RO-1",)), known_id
    )

    assert again.is_empty
    assert [s.action for s in steps] == ["unchanged", "unchanged"]
    assert [s.resource_id for s in steps] == ["template0", "endpoint0"]
    assert account.writes == []


async def test_planning_writes_nothing(account: Account) -> None:
    """It is what `--dry-run` shows."""
    made = await plan(account, desired(), None)

    assert (made.template.action, made.endpoint.action) == ("create", "create")
    assert account.writes == []


TEMPLATE_FIELDS: list[tuple[dict[str, Any], FieldChange]] = [
    ({"image": "img:2"}, FieldChange("image", "img:1", "img:2")),
    ({"container_disk_gb": 20}, FieldChange("container_disk_gb", 10, 20)),
    ({"start_command": "run"}, FieldChange("start_command", "", "run")),
    ({"registry_auth_id": "reg"}, FieldChange("registry_auth_id", "", "reg")),
    ({"env": {"SECRET": "value"}}, FieldChange("env SECRET", None, "set")),
]
ENDPOINT_FIELDS: list[tuple[dict[str, Any], FieldChange]] = [
    (
        {"gpu": GpuSelection(("ADA_24",))},
        FieldChange("gpu_ids", "AMPERE_16,AMPERE_24", "ADA_24"),
    ),
    ({"gpu_count": 2}, FieldChange("gpu_count", 1, 2)),
    ({"workers_min": 1}, FieldChange("workers_min", 0, 1)),
    ({"workers_max": 0}, FieldChange("workers_max", 3, 0)),
    ({"idle_timeout_s": 60}, FieldChange("idle_timeout_s", 5, 60)),
    ({"execution_timeout_s": 0}, FieldChange("execution_timeout_ms", 600_000, 0)),
    (
        {"scaler": Scaler.REQUEST_COUNT},
        FieldChange("scaler", Scaler.QUEUE_DELAY, Scaler.REQUEST_COUNT),
    ),
    ({"scaler_value": 1}, FieldChange("scaler_value", 4, 1)),
    ({"flashboot": False}, FieldChange("flashboot", "FLASHBOOT", "OFF")),
    ({"network_volume_id": "vol"}, FieldChange("network_volume_id", "", "vol")),
    ({"data_centers": ("A", "B")}, FieldChange("locations", "", "A,B")),
    ({"allowed_cuda_versions": ("12.8",)}, FieldChange("allowed_cuda_versions", "", "12.8")),
]


@pytest.mark.parametrize(("wish", "change"), TEMPLATE_FIELDS, ids=lambda v: str(v)[:40])
async def test_a_template_changes_field_by_field(
    account: Account, wish: dict[str, Any], change: FieldChange
) -> None:
    """The endpoint is left alone, and afterwards nothing is left to do."""
    have(account, template(), endpoint())

    made, _ = await set_up(account, desired(**wish))

    assert (made.template.action, made.template.changes) == ("update", (change,))
    assert account.writes == ["save_template"]
    assert (await plan(account, desired(**wish), None)).is_empty


@pytest.mark.parametrize(("wish", "change"), ENDPOINT_FIELDS, ids=lambda v: str(v)[:40])
async def test_an_endpoint_changes_field_by_field(
    account: Account, wish: dict[str, Any], change: FieldChange
) -> None:
    """The template is left alone, and afterwards nothing is left to do."""
    have(account, template(), endpoint())

    made, _ = await set_up(account, desired(**wish))

    assert (made.endpoint.action, made.endpoint.changes) == ("update", (change,))
    assert account.writes == ["save_endpoint"]
    assert (await plan(account, desired(**wish), None)).is_empty


async def test_what_nobody_asked_for_stays(account: Account) -> None:
    """Fields of the console that we have no flag for, and those whose flag was not given."""
    kept = {"compliance": ["GDPR"]}
    before_template = template(
        env={"MINE": "1"}, registry_auth_id="reg", kept={"ports": "80/http"}, image="old"
    )
    before = endpoint(
        network_volume_id="vol", locations="EU", allowed_cuda_versions="12.8", kept=kept
    )
    have(account, before_template, before)

    await set_up(account, desired(workers_max=5, env={"A": "1"}))

    assert account.saved_endpoints["endpoint0"] == replace(before, workers_max=5)
    assert account.saved_templates["template0"] == replace(
        before_template, image="img:1", env={"MINE": "1", "A": "1"}
    )


async def test_empty_is_not_the_same_as_not_given(account: Account) -> None:
    """`()` and "" take away what is there."""
    have(account, template(registry_auth_id="reg"))
    have(account, endpoint(network_volume_id="v", locations="EU", allowed_cuda_versions="12.8"))

    await set_up(
        account,
        desired(
            network_volume_id="", data_centers=(), allowed_cuda_versions=(), registry_auth_id=""
        ),
    )

    assert account.saved_templates["template0"] == template()
    assert account.saved_endpoints["endpoint0"] == endpoint()


async def test_a_changed_variable_is_named_and_its_value_is_not(account: Account) -> None:
    """It may be a secret, the old as well as the new."""
    have(account, template(env={"A": "old", "B": "same"}), endpoint())

    made = await plan(account, desired(env={"A": "new", "B": "same"}), None)

    assert made.template.changes == (FieldChange("env A", "set", "changed"),)


async def test_what_has_only_our_name_may_be_somebody_elses(account: Account) -> None:
    """A change of it is marked; ours, a new one, and one that is as it should be are not."""
    assert not (await plan(account, desired(), None)).adopts
    have(account, template(), endpoint())
    assert not (await plan(account, desired(), None)).adopts
    assert (await plan(account, desired(workers_max=9), None)).adopts
    assert not (await plan(account, desired(workers_max=9), "endpoint0")).adopts


async def test_an_image_that_is_only_a_default_does_not_replace_another(account: Account) -> None:
    """It was named once with --image, and stays."""
    have(account, template(image="me/mine:1"), endpoint())
    kept = await plan(account, desired(image="default:1", keeps_image=True), "endpoint0")
    replaced = await plan(account, desired(image="default:1"), "endpoint0")
    assert (kept.template.target.image, kept.is_empty) == ("me/mine:1", True)
    assert replaced.template.target.image == "default:1"


@pytest.mark.parametrize(
    ("flashboot", "wanted", "expected"),
    [
        ("PRIORITY_FLASHBOOT", True, "PRIORITY_FLASHBOOT"),
        ("PRIORITY_FLASHBOOT", False, "OFF"),
        ("OFF", True, "FLASHBOOT"),
        ("OFF", False, "OFF"),
    ],
)
async def test_flashboot_keeps_its_kind(
    account: Account, *, flashboot: str, wanted: bool, expected: str
) -> None:
    """Switching on what is on already does not take the priority away."""
    have(account, template(), endpoint(flashboot=flashboot))

    made = await plan(account, desired(flashboot=wanted), None)

    assert made.endpoint.target.flashboot == expected


async def test_equal_gpus_are_written_as_they_were(account: Account) -> None:
    """The order of excluded cards means nothing, and gives no worker a new version."""
    written = "AMPERE_16,-NVIDIA RTX A4500,-NVIDIA RTX A4000"
    have(account, template(), endpoint(gpu_ids=written))
    gpu = GpuSelection(("AMPERE_16",), ("NVIDIA RTX A4000", "NVIDIA RTX A4500"))

    assert (await plan(account, desired(gpu=gpu), None)).is_empty


@pytest.mark.parametrize(
    ("name", "known_id"), [("renamed", "endpoint0"), ("test", None), ("test -fb", None)]
)
async def test_an_endpoint_is_found_again(
    account: Account, name: str, known_id: str | None
) -> None:
    """By its id, by its name, or by its name with the old suffix of FlashBoot; it keeps it."""
    have(account, template(name="mine"), endpoint(name=name))

    made = await plan(account, desired(), known_id)

    assert made.is_empty
    assert (made.endpoint.target.name, made.template.target.name) == (name, "mine")


async def test_an_id_counts_more_than_a_name(account: Account) -> None:
    """The remembered one is meant, whatever others are called."""
    have(account, template(), template(template_id="t2", name="other"))
    have(account, endpoint(), endpoint(endpoint_id="mine", name="other", template_id="t2"))

    made = await plan(account, desired(), "mine")

    assert made.endpoint.target.endpoint_id == "mine"


async def test_a_remembered_id_that_is_gone(account: Account) -> None:
    """The plan says so, and goes on by name."""
    have(account, template(), endpoint())

    made = await plan(account, desired(), "gone")

    assert (made.gone_id, made.endpoint.target.endpoint_id) == ("gone", "endpoint0")


@pytest.mark.parametrize("names", [("test", "test"), ("test", "test -fb")])
async def test_two_endpoints_of_the_same_name(account: Account, names: tuple[str, str]) -> None:
    """Nobody but the person can know which is meant."""
    have(account, endpoint(name=names[0]), endpoint(endpoint_id="endpoint1", name=names[1]))

    with pytest.raises(ConflictError) as raised:
        await plan(account, desired(), None)

    assert raised.value.message == "2 endpoints are called test: endpoint0, endpoint1"
    assert "--name" in str(raised.value.hint)


async def test_of_two_endpoints_the_remembered_one_is_taken(account: Account) -> None:
    """An id is never ambiguous."""
    have(account, template(), endpoint(), endpoint(endpoint_id="endpoint1"))

    made = await plan(account, desired(), "endpoint1")

    assert made.endpoint.target.endpoint_id == "endpoint1"


BELONGS = "and a serverless template serves one endpoint"


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (
            [template(is_serverless=False)],
            "The template test (template0) is for pods, and names are unique",
        ),
        (
            [template(), endpoint(name="other")],
            f"The template test (template0) belongs to the endpoint other, {BELONGS}",
        ),
        (
            [template(bound_endpoint_id="vsrx8zdokf21gz")],
            f"The template test (template0) belongs to the endpoint vsrx8zdokf21gz, {BELONGS}",
        ),
    ],
)
async def test_a_template_that_cannot_be_taken_over(
    account: Account, there: list[Template | Endpoint], message: str
) -> None:
    """Found before anything is written."""
    have(account, *there)

    with pytest.raises(ConflictError) as raised:
        await plan(account, desired(), None)

    assert (raised.value.message, raised.value.hint) == (message, "Take another name with --name.")


async def test_a_free_template_is_taken_over(account: Account) -> None:
    """It is what an interrupted setup leaves; its variables stay."""
    have(account, template(env={"MINE": "1"}, image="old"))

    await set_up(account, desired())

    assert account.saved_templates == {"template0": template(env={"MINE": "1"})}
    assert account.saved_endpoints == {"endpoint0": endpoint()}


async def test_an_endpoint_whose_template_is_gone_gets_a_new_one(account: Account) -> None:
    """And is pointed at it."""
    have(account, template(template_id="other", name="other"), endpoint(template_id="gone"))

    _, steps = await set_up(account, desired())

    assert [(s.kind, s.action) for s in steps] == [("template", "create"), ("endpoint", "update")]
    assert account.saved_endpoints["endpoint0"].template_id == "template1"


async def test_a_new_name_is_given_to_both(account: Account) -> None:
    """Only where it was asked for."""
    have(account, template(name="old"), endpoint(name="old"))

    made, _ = await set_up(account, desired(renames=True), "endpoint0")

    expected = (FieldChange("name", "old", "test"),)
    assert (made.template.changes, made.endpoint.changes) == (expected, expected)
    assert (
        account.saved_templates["template0"].name,
        account.saved_endpoints["endpoint0"].name,
    ) == (
        "test",
        "test",
    )


@pytest.mark.parametrize(
    "other",
    [template(template_id="t2"), template(template_id="t2", is_serverless=False)],
    ids=["free", "pods"],
)
async def test_a_new_name_that_a_template_has_already(account: Account, other: Template) -> None:
    """RunPod would refuse it half way through."""
    have(account, template(name="old"), endpoint(name="old"), other)

    with pytest.raises(ConflictError) as raised:
        await plan(account, desired(renames=True), "endpoint0")

    assert raised.value.message == (
        "old cannot be renamed to test: there is such a template already (t2), and names are unique"
    )


STAYS = "The template test (template0) is there and stays."
CHECK = "Check where it comes from:  runpodctl-py config show"


@pytest.mark.parametrize(
    ("trouble", "hint"),
    [
        (
            RefusedError("RunPod says: workers quota (5)"),
            f"{STAYS} Run the same command again: it continues from there.",
        ),
        (
            UnauthorizedError("key", hint=CHECK),
            f"{CHECK}\n{STAYS} Run the same command again: it continues from there.",
        ),
        (
            AnswerLostError("The request was sent, but"),
            f"{STAYS} The endpoint may be, too: run the same command again, it will find it.",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_setup_that_stops_half_way_can_be_continued(
    account: Account, trouble: RunpodctlError, hint: str
) -> None:
    """The hint says what is there; the second run makes one of each in all."""
    account.troubles["save_endpoint"] = trouble
    with pytest.raises(type(trouble)) as raised:
        await set_up(account, desired())
    account.troubles.clear()

    await set_up(account, desired())

    assert raised.value.hint == hint
    assert account.saved_templates == {"template0": template()}
    assert account.saved_endpoints == {"endpoint0": endpoint()}


@pytest.mark.parametrize("trouble", [RefusedError("no"), AnswerLostError("The request was sent")])
async def test_without_a_template_there_is_no_endpoint(
    account: Account, trouble: RunpodctlError
) -> None:
    """Even if it may be there: the next run finds it."""
    account.troubles["save_template"] = trouble
    with pytest.raises(type(trouble)) as raised:
        await set_up(account, desired())
    assert account.writes == ["save_template"]
    is_lost = isinstance(trouble, AnswerLostError)
    assert ("may be there: run the same command again" in (raised.value.hint or "")) == is_lost
    account.troubles.clear()

    await set_up(account, desired())

    assert account.saved_endpoints == {"endpoint0": endpoint()}
    assert list(account.saved_templates) == ["template0"]


async def torn_down(account: Account, target: Teardown) -> list[TeardownStep]:
    """Tear down to the end, on a clock that does not really wait."""
    return [step async for step in tear_down(account, target, StillClock())]


async def test_tearing_down_begins_with_the_workers(account: Account) -> None:
    """Then the endpoint, then the template that it used (API reference 1.3, 1.4)."""
    have(account, template(), endpoint(workers_min=1))

    steps = await torn_down(account, await find_teardown(account, "endpoint0"))

    assert steps == [TeardownStep("workers"), TeardownStep("endpoint"), TeardownStep("template")]
    assert account.writes == ["save_endpoint", "delete_endpoint", "delete_template"]
    assert (account.saved_templates, account.saved_endpoints) == ({}, {})


async def test_the_workers_are_stopped_and_nothing_else_changes(account: Account) -> None:
    """A teardown that fails later leaves an endpoint that can be used again."""
    before = endpoint(workers_min=1, kept={"compliance": ["GDPR"]})
    have(account, template(), before)
    account.troubles["delete_endpoint"] = RefusedError("no")

    with pytest.raises(RefusedError):
        await torn_down(account, Teardown(before, template()))

    assert account.saved_endpoints == {"endpoint0": replace(before, workers_min=0, workers_max=0)}


async def test_deletions_whose_answers_are_lost_are_looked_for(account: Account) -> None:
    """What is gone is gone: the teardown goes on, and leaves nothing behind."""
    have(account, template(), endpoint())
    lost = AnswerLostError("The request was sent, but")
    account.troubles |= {"delete_endpoint": lost, "delete_template": lost}

    steps = await torn_down(account, Teardown(endpoint(), template()))

    assert steps == [TeardownStep("workers"), TeardownStep("endpoint"), TeardownStep("template")]
    assert (account.saved_templates, account.saved_endpoints) == ({}, {})


async def test_workers_that_may_not_be_stopped_stop_the_teardown(account: Account) -> None:
    """The hint says what is left and what helps."""
    have(account, template(), endpoint())
    account.troubles["save_endpoint"] = AnswerLostError("The request was sent, but")

    with pytest.raises(AnswerLostError) as raised:
        await torn_down(account, Teardown(endpoint(), template()))

    assert raised.value.hint == "The endpoint test is left. Run the same command again."
    assert account.writes == ["save_endpoint"]


async def test_a_shared_template_is_kept(account: Account) -> None:
    """Another endpoint needs it."""
    have(account, template(), endpoint(), endpoint(endpoint_id="endpoint1"))

    target = await find_teardown(account, "endpoint0")

    assert target == Teardown(endpoint(), None)
    assert await torn_down(account, target) == [TeardownStep("workers"), TeardownStep("endpoint")]
    assert list(account.saved_templates) == ["template0"]


async def test_an_endpoint_without_its_template(account: Account) -> None:
    """What is gone need not be deleted."""
    have(account, endpoint())

    assert await find_teardown(account, "endpoint0") == Teardown(endpoint(), None)


async def test_there_is_nothing_to_tear_down(account: Account) -> None:
    """A wrong id is told before anything is written."""
    with pytest.raises(NotFoundError, match="There is no endpoint nope"):
        await find_teardown(account, "nope")


async def test_an_interrupted_teardown_goes_on_with_what_is_left(account: Account) -> None:
    """The endpoint is gone; its template is found by its name and deleted."""
    have(account, template())

    target = await find_teardown(account, "endpoint0", leftover=template().name)

    assert target == Teardown(None, template())
    assert await torn_down(account, target) == [TeardownStep("template")]
    assert account.saved_templates == {}


async def test_a_template_in_use_is_nobodys_leftover(account: Account) -> None:
    """Another endpoint has taken it over."""
    have(account, template(), endpoint(endpoint_id="endpoint1"))

    with pytest.raises(NotFoundError):
        await find_teardown(account, "endpoint0", leftover=template().name)


async def test_a_template_that_was_just_in_use_is_tried_again(account: Account) -> None:
    """RunPod needs up to two minutes; each try says how long we go on."""
    have(account, template(), endpoint())
    account.troubles["delete_template"] = RefusedError("in use")
    steps = []

    async for step in tear_down(account, Teardown(endpoint(), template()), StillClock()):
        steps.append(step)
        if step.remaining_s == 140:
            account.troubles.clear()

    assert [s.remaining_s for s in steps if not s.is_done] == [150, 145, 140]
    assert steps[-1] == TeardownStep("template")
    assert account.saved_templates == {}


async def test_a_template_that_went_with_its_endpoint_is_done(account: Account) -> None:
    """RunPod does not find it any more: nothing is tried again."""
    have(account, template(), endpoint())
    account.troubles["delete_template"] = RefusedError("RunPod says: Unable to find template")
    steps = []

    async for step in tear_down(account, Teardown(endpoint(), template()), StillClock()):
        steps.append(step.kind)
        if step.kind == "endpoint":
            account.saved_templates.clear()

    assert steps == ["workers", "endpoint", "template"]


async def test_a_template_that_stays_in_use_is_left(account: Account) -> None:
    """After the limit, with RunPod's words and what is left to do."""
    have(account, template(), endpoint())
    account.troubles["delete_template"] = RefusedError("RunPod says: in use")
    clock = StillClock()

    with pytest.raises(RefusedError, match="in use") as raised:
        [step async for step in tear_down(account, Teardown(endpoint(), template()), clock)]

    assert clock.now_s() == TEMPLATE_DELETE_LIMIT_S
    assert str(raised.value.hint).startswith("The template test is left. Run the same command")
