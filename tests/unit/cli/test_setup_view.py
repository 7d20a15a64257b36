from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.api.graphql import endpoint_input, template_input
from runpodctl_py.api.types import Endpoint, Scaler, Template
from runpodctl_py.cli.context import Context
from runpodctl_py.cli.output import Output
from runpodctl_py.cli.setup_view import SetupView
from runpodctl_py.cli.stand_ins import Serving
from runpodctl_py.gpus import GpuSelection
from runpodctl_py.presets import loading
from runpodctl_py.provision import (
    Applied,
    Desired,
    EndpointChange,
    FieldChange,
    Plan,
    TemplateChange,
)
from runpodctl_py.settings import Settings

if TYPE_CHECKING:
    from runpodctl_py.presets.model import Preset

DESIRED = Desired(
    name="my-test",
    image="img:1",
    container_disk_gb=10,
    gpu=GpuSelection(("AMPERE_16", "AMPERE_24")),
    gpu_count=1,
    workers_min=0,
    workers_max=3,
    idle_timeout_s=5,
    execution_timeout_s=600,
    scaler=Scaler.QUEUE_DELAY,
    scaler_value=4,
    flashboot=True,
)
TEMPLATE = Template(None, "my-test", "img:1", 10, env={"HF_TOKEN": "hf_1", "MODE": "fast"})
ENDPOINT = Endpoint(
    endpoint_id=None,
    name="my-test",
    template_id="",
    gpu_ids="AMPERE_16,AMPERE_24",
    gpu_count=1,
    workers_min=0,
    workers_max=3,
    idle_timeout_s=5,
    execution_timeout_ms=600_000,
    scaler=Scaler.QUEUE_DELAY,
    scaler_value=4,
    flashboot="FLASHBOOT",
)
NEW = Plan(TemplateChange(TEMPLATE, ()), EndpointChange(ENDPOINT, ()))
THERE_TEMPLATE = replace(TEMPLATE, template_id="xkhgg72fuo")
THERE_ENDPOINT = replace(ENDPOINT, endpoint_id="vsrx8zdokf21gz", template_id="xkhgg72fuo")
UNCHANGED = Plan(TemplateChange(THERE_TEMPLATE, ()), EndpointChange(THERE_ENDPOINT, ()))
DESCRIPTION = "AMPERE_16, AMPERE_24 · 0 to 3 workers · idle 5 s · timeout 600 s"
PRICE = "$0.00016 per second and worker ($0.58 per hour)."
KEYS = ("RUNPOD_TEST_ENDPOINT_ID",)


def view(
    plan: Plan = NEW,
    *,
    desired: Desired = DESIRED,
    as_json: bool = False,
    is_local: bool = False,
    preset: Preset | None = None,
    env_keys: tuple[str, ...] = KEYS,
    serving: Serving | None = None,
) -> SetupView:
    """Make the view of one setup."""
    name = ".env.local" if is_local else ".env"
    settings = Settings((), Path.cwd() / name, is_local=is_local)
    context = Context(settings, Output(as_json=as_json))
    preset = preset or loading.load("test")
    return SetupView(context, preset, desired, plan, env_keys, source=preset.name, serving=serving)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was said on stderr, without the spaces that align it; stdout is empty."""
    out, err = capsys.readouterr()
    assert out == ""
    return [" ".join(line.split()) for line in err.splitlines() if line]


def test_a_new_endpoint_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    """What will be made, and what it costs."""
    view().show_plan()

    assert said(capsys)[1:] == [
        "template my-test create image img:1, 10 GB disk",
        f"endpoint my-test create {DESCRIPTION}",
        ".env RUNPOD_TEST_ENDPOINT_ID write",
        "Costs nothing while idle. Running: " + PRICE,
    ]


def test_an_existing_one_is_described_by_what_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """Field by field, one below the other."""
    changes = (
        FieldChange("workers_max", 3, 0),
        FieldChange("locations", "", "EU-RO-1"),
        FieldChange("network_volume_id", "vol", ""),
    )
    plan = replace(UNCHANGED, endpoint=EndpointChange(THERE_ENDPOINT, changes), gone_id="gone")

    view(plan, env_keys=()).show_plan()

    assert said(capsys)[1:-1] == [
        "(gone from .env does not exist any more)",
        "template my-test unchanged",
        "endpoint my-test workers_max 3 → 0",
        "locations not set → EU-RO-1",
        "network_volume_id vol → not set",
    ]


@pytest.mark.parametrize(
    ("wish", "is_local", "line"),
    [
        (
            {"workers_min": 2},
            False,
            f"2 always running: $1.15 per hour, used or not. Each: {PRICE}",
        ),
        (
            {"gpu_count": 2},
            False,
            "Costs nothing while idle. Running: $0.00032 per second and worker ($1.15 per hour).",
        ),
        (
            {"gpu": GpuSelection(("ADA_32_PRO",))},
            False,
            "The price of this pool is not in RunPod's published table.",
        ),
        ({}, True, ".env.local RUNPOD_TEST_ENDPOINT_ID write"),
    ],
)
def test_what_it_costs(
    capsys: pytest.CaptureFixture[str], *, wish: dict[str, Any], is_local: bool, line: str
) -> None:
    """Idle workers too, if they are always on; the local RunPod is free."""
    view(desired=replace(DESIRED, **wish), is_local=is_local).show_plan()

    assert [text for text in said(capsys) if not text.startswith("!")][-1] == line


def test_an_image_that_cannot_run_here_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Before somebody waits for its workers: the local RunPod says that nobody serves it."""
    view(is_local=True, serving=Serving("nobody")).show_plan()

    assert said(capsys)[-1] == (
        "! The local RunPod runs img:1 with `local up --containers`, or your code for it with "
        "`local up --handler`: otherwise its workers will be unhealthy."
    )


@pytest.mark.parametrize("by", ["container", "command", "handler", "simulation", "worker", None])
def test_whoever_else_serves_it_is_not_worth_a_word(
    capsys: pytest.CaptureFixture[str], by: str | None
) -> None:
    """A person has chosen it themselves; and an older local RunPod does not say."""
    view(is_local=True, serving=Serving(by)).show_plan()

    assert said(capsys)[-1] == ".env.local RUNPOD_TEST_ENDPOINT_ID write"


HUMS = Serving("stand-in", "hums the text instead of speaking it")
SENTENCE = (
    "On the local RunPod a stand-in serves it, without the model: it hums the text instead of "
    "speaking it."
)


@pytest.mark.parametrize("plan", [NEW, UNCHANGED], ids=["new", "unchanged"])
def test_a_stand_in_is_told_of(capsys: pytest.CaptureFixture[str], plan: Plan) -> None:
    """With how the real worker runs here; also when nothing has to be changed."""
    show = view(plan, is_local=True, serving=HUMS)
    (show.show_plan if plan.endpoint.action == "create" else show.show_unchanged)()

    lines = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines() if line]
    assert lines[-5:] == [
        SENTENCE,
        "The real worker instead, with docker or podman:",
        "runpodctl-py local up --containers",
        "or with its packages in an environment ENV:",
        "runpodctl-py local up --handler FILE --endpoint my-test --python ENV/bin/python",
    ]


@pytest.mark.parametrize(("serving", "stand_in"), [(HUMS, SENTENCE), (Serving(), None)])
def test_a_program_is_told_of_a_stand_in(
    capsys: pytest.CaptureFixture[str], *, serving: Serving, stand_in: str | None
) -> None:
    """By a key; on RunPod there is none."""
    view(UNCHANGED, as_json=True, is_local=True, serving=serving).show_unchanged()

    assert json.loads(capsys.readouterr().out)["stand_in"] == stand_in


def test_no_limit_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A timeout of 0 s would mean the opposite."""
    endless = replace(ENDPOINT, execution_timeout_ms=0)

    view(replace(NEW, endpoint=EndpointChange(endless, ()))).show_plan()

    assert any(line.endswith("idle 5 s · no timeout") for line in said(capsys))


def test_a_dry_run_prints_the_requests_without_secrets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only values that stand in the preset for all to see are shown."""
    requests = [
        {"saveTemplate": template_input(TEMPLATE)},
        {"saveEndpoint": endpoint_input(ENDPOINT)},
    ]

    view().show_dry_run(requests)

    out, err = capsys.readouterr()
    document = json.loads(out)
    template, endpoint = (next(iter(r.values())) for r in document["requests"])
    assert document["dry_run"] is True
    assert template["env"] == [
        {"key": "HF_TOKEN", "value": "…"},
        {"key": "MODE", "value": "…"},
    ]
    assert (endpoint["workersMin"], endpoint["executionTimeoutMs"]) == (0, 600_000)
    assert "hf_1" not in out + err


@pytest.mark.parametrize(
    ("is_local", "line"),
    [
        (False, "template unchanged · endpoint unchanged · .env unchanged\n"),
        (True, "template unchanged · endpoint unchanged · .env.local unchanged\n"),
    ],
)
def test_nothing_to_do_is_one_line(
    capsys: pytest.CaptureFixture[str], *, is_local: bool, line: str
) -> None:
    """On stdout: it is the result."""
    view(UNCHANGED, is_local=is_local).show_unchanged()

    assert capsys.readouterr() == (line, "")


def test_nothing_to_do_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole document, so that a script finds the id; the local RunPod costs nothing."""
    view(UNCHANGED, as_json=True, is_local=True).show_unchanged()

    document = json.loads(capsys.readouterr().out)
    assert (document["endpoint"]["action"], document["endpoint_id"]) == (
        "unchanged",
        "vsrx8zdokf21gz",
    )
    assert document["price_per_hour_usd"] == 0


def test_each_step_is_told_and_then_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    """With a command that can be copied."""
    shown = view()
    shown.show_applied(Applied("template", "create", "xkhgg72fuo", "my-test"))
    shown.show_applied(Applied("endpoint", "create", "vsrx8zdokf21gz", "my-test"))
    shown.show_done("vsrx8zdokf21gz", KEYS)

    assert said(capsys) == [
        "✓ template xkhgg72fuo",
        "✓ endpoint vsrx8zdokf21gz",
        "✓ .env RUNPOD_TEST_ENDPOINT_ID=vsrx8zdokf21gz",
        "Try it: runpodctl-py submit --task text_processing",
    ]


@pytest.mark.parametrize(("is_local", "flag"), [(True, " --local"), (False, "")])
def test_a_preset_may_name_its_first_try(
    capsys: pytest.CaptureFixture[str], *, is_local: bool, flag: str
) -> None:
    """It is shown as it stands there, for where the endpoint is."""
    preset = replace(loading.load("test"), example='sing "la la"')

    view(preset=preset, is_local=is_local).show_done("ep", ())

    assert said(capsys) == [f'Try it: runpodctl-py sing "la la"{flag}']


def test_without_that_the_example_has_what_the_preset_requires(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every required field with a value to try."""
    preset = replace(loading.load("qwen"), example=None)
    required = [name for name, field in preset.input.items() if field.required]

    view(preset=preset, is_local=True).show_done("ep", ())

    (line,) = said(capsys)
    assert line.startswith("Try it: runpodctl-py submit --preset qwen --set image=@FILE")
    assert [name for name in required if f" --set {name}=" not in line] == []
    assert line.endswith(" --local")


def test_in_json_there_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Its keys are a promise to scripts."""
    changes = (FieldChange("scaler", Scaler.QUEUE_DELAY, Scaler.REQUEST_COUNT),)
    shown = view(replace(UNCHANGED, endpoint=EndpointChange(THERE_ENDPOINT, changes)), as_json=True)
    shown.show_plan()
    shown.show_applied(Applied("endpoint", "update", "vsrx8zdokf21gz", "my-test"))
    shown.show_done("vsrx8zdokf21gz", KEYS)

    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {
        "preset": "test",
        "template": {
            "action": "unchanged",
            "id": "xkhgg72fuo",
            "name": "my-test",
            "changes": [],
        },
        "endpoint": {
            "action": "update",
            "id": "vsrx8zdokf21gz",
            "name": "my-test",
            "changes": [{"field": "scaler", "old": "QUEUE_DELAY", "new": "REQUEST_COUNT"}],
        },
        "endpoint_id": "vsrx8zdokf21gz",
        "env_file": {"path": str(Path.cwd() / ".env"), "keys": ["RUNPOD_TEST_ENDPOINT_ID"]},
        "price_per_hour_usd": 0.576,
        "stand_in": None,
        "warnings": [],
    }
