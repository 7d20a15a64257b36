from __future__ import annotations

import tomllib

import pytest

from runpodctl_py.errors import UsageError
from runpodctl_py.gpus import GpuSelection
from runpodctl_py.presets.model import EndpointSettings, InputField, Preset, TemplateSettings
from runpodctl_py.presets.parsing import parse_preset

NAME = 'name = "mine"\n'
TEMPLATE = '[template]\nimage = "me/model:1"\n'
HEAD = NAME + TEMPLATE
FULL = """
name = "my-model"
title = "My model"
description = "Does things."
env_key = "MY_ENDPOINT"
example = "submit -e mine"

[template]
name = "my-template"
image = "me/model:1"
container_disk_gb = 40
start_command = "python -u handler.py"

[template.env]
MODE = "fast"

[endpoint]
name = "my-endpoint"
gpu = ["AMPERE_48", "ADA_24", "-NVIDIA A40"]
gpu_count = 2
workers_min = 1
workers_max = 4
idle_timeout_s = 60
execution_timeout_s = 0
scaler = "request-count"
scaler_value = 2
flashboot = true
network_volume = "agv6w2qcg7"
data_centers = ["EU-RO-1"]
allowed_cuda_versions = ["12.8"]

[input.size]
type = "integer"
required = true
default = 640
min = 64
max = 2048
choices = [640, 1024]
help = "How large."
example = 1024

[input.tags]
type = "array"
min_length = 1
max_length = 3
default = ["a"]
"""


def read(toml: str) -> Preset:
    """Parse a preset that stands in `my.toml`."""
    return parse_preset(tomllib.loads(toml), "my.toml")


def test_every_setting_reaches_the_model() -> None:
    """A file that says everything is taken at its word."""
    expected = Preset(
        name="my-model",
        title="My model",
        description="Does things.",
        env_key="MY_ENDPOINT",
        example="submit -e mine",
        template=TemplateSettings(
            name="my-template",
            image="me/model:1",
            container_disk_gb=40,
            start_command="python -u handler.py",
            env={"MODE": "fast"},
        ),
        endpoint=EndpointSettings(
            name="my-endpoint",
            gpu=GpuSelection(("AMPERE_48", "ADA_24"), ("NVIDIA A40",)),
            gpu_count=2,
            workers_min=1,
            workers_max=4,
            idle_timeout_s=60,
            execution_timeout_s=0,
            scaler="request-count",
            scaler_value=2,
            flashboot=True,
            network_volume="agv6w2qcg7",
            data_centers=("EU-RO-1",),
            allowed_cuda_versions=("12.8",),
        ),
        input={
            "size": InputField(
                name="size",
                type="integer",
                required=True,
                default=640,
                min=64,
                max=2048,
                choices=(640, 1024),
                help="How large.",
                example=1024,
            ),
            "tags": InputField(
                name="tags", type="array", default=["a"], min_length=1, max_length=3
            ),
        },
    )
    assert expected == read(FULL)


def test_what_is_not_said_gets_runpods_defaults() -> None:
    """A name and an image are enough (defaults: API reference 1.4)."""
    preset = read(HEAD)
    expected_template = TemplateSettings(
        name="mine", image="me/model:1", container_disk_gb=10, start_command="", env={}
    )
    expected_endpoint = EndpointSettings(
        name="mine",
        gpu=GpuSelection(("AMPERE_16",)),
        gpu_count=1,
        workers_min=0,
        workers_max=3,
        idle_timeout_s=5,
        execution_timeout_s=600,
        scaler="queue-delay",
        scaler_value=4,
        flashboot=False,
        network_volume=None,
        data_centers=(),
        allowed_cuda_versions=(),
    )
    assert expected_template == preset.template
    assert expected_endpoint == preset.endpoint
    assert preset.example is None


def test_two_presets_share_nothing() -> None:
    """Defaults are copies: what a caller does to one preset's env stays there."""
    assert read(HEAD).template.env is not read(HEAD).template.env


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (TEMPLATE, "name is missing: a text"),
        ('name = "a b"\n' + TEMPLATE, "name must be a text of letters, digits, hyphens and"),
        ("name = 1\n" + TEMPLATE, "name must be a text, not 1"),
        (NAME, "template.image is missing: a text of at least 1 character"),
        (NAME + '[template]\nimage = " "', "template.image must be a text of at least 1 char"),
        (NAME + "titel = 'x'\n" + TEMPLATE, "titel is no known key; did you mean title?"),
        (NAME + "secret = 'x'\n" + TEMPLATE, "secret is no known key"),
        (NAME + "env_key = '1X'\n" + TEMPLATE, "env_key must be a text that can name an envi"),
        (NAME + "env_key = 'A-B'\n" + TEMPLATE, "env_key must be a text that can name an envi"),
        (NAME + "env_key = ''\n" + TEMPLATE, "env_key must be a text of at least 1 character"),
        (NAME + "example = 1\n" + TEMPLATE, "example must be a text, not 1"),
        (NAME + "example = ''\n" + TEMPLATE, "example must be a text of one line, as it sta"),
        (NAME + "example = ' a'\n" + TEMPLATE, "example must be a text of one line, as it sta"),
        (NAME + "example = 'a\t'\n" + TEMPLATE, "example must be a text of one line, as it sta"),
        (NAME + 'example = "a\\nb"\n' + TEMPLATE, "example must be a text of one line, as it st"),
        (
            NAME + "example = 'runpodctl-py submit'\n" + TEMPLATE,
            "example must be a text of one line, as it stands behind runpodctl-py, not",
        ),
        (NAME + 'template = "x"', 'template must be a JSON object, not "x"'),
        (HEAD + "container_disk_gb = 0", "template.container_disk_gb must be an integer of at l"),
        (HEAD + "container_disk_gb = 9.5", "template.container_disk_gb must be an integer of at"),
        (HEAD + "container_disk = 5", "template.container_disk is no known key; did you mean "),
        (HEAD + "env.MODE = 1", "template.env.MODE must be a text, not 1"),
        (HEAD + 'env.A-B = "x"', "template.env.A-B must be a text that can name an environment"),
        (HEAD + "start_command = ['a']", 'template.start_command must be a text, not ["a"]'),
        (HEAD + "[endpoint]\nworkers_max = true", "endpoint.workers_max must be an integer of a"),
        (HEAD + "[endpoint]\nworkers_min = 4", "endpoint.workers_min must not exceed workers_max"),
        (HEAD + "[endpoint]\nidle_timeout_s = 3601", "endpoint.idle_timeout_s must be an integer"),
        (HEAD + "[endpoint]\nidle_timeout = 5", "endpoint.idle_timeout is no known key; did you"),
        (HEAD + "[endpoint]\nexecution_timeout_s = -1", "endpoint.execution_timeout_s must be an"),
        (HEAD + "[endpoint]\ngpu_count = 0", "endpoint.gpu_count must be an integer of at least"),
        (HEAD + "[endpoint]\nscaler_value = 0", "endpoint.scaler_value must be an integer of at"),
        (
            HEAD + '[endpoint]\nscaler = "QUEUE_DELAY"',
            'endpoint.scaler must be one of: queue-delay, request-count, not "QUEUE_DELAY"',
        ),
        (HEAD + '[endpoint]\nflashboot = "on"', 'endpoint.flashboot must be true or false, not "'),
        (
            HEAD + '[endpoint]\ngpu = "ADA_24"',
            "endpoint.gpu must be a JSON array of at least 1 entry",
        ),
        (HEAD + "[endpoint]\ngpu = []", "endpoint.gpu must be a JSON array of at least 1 entry"),
        (HEAD + "[endpoint]\ngpu = [24]", "endpoint.gpu must hold texts only, not 24"),
        (HEAD + '[endpoint]\ngpu = ["ADA_16"]', "endpoint.gpu: ADA_16 is not a GPU pool"),
        (HEAD + '[endpoint]\ndata_centers = [""]', "endpoint.data_centers must hold texts only, "),
        (
            HEAD + "[endpoint]\nallowed_cuda_versions = [12.8]",
            "endpoint.allowed_cuda_versions must hold texts only, not 12.8",
        ),
        (
            HEAD + '[endpoint]\nallowed_cuda_versions = ["12"]',
            "endpoint.allowed_cuda_versions must be a text of a major and a minor version, as in",
        ),
        (HEAD + "[endpoint]\nname = 1979-05-27", "endpoint.name is 1979-05-27, which JSON cannot"),
        (HEAD + "[input]\nsize = 1", 'input.size must be a table such as {type = "string"}, not'),
        (HEAD + "[input.size]\nmin = 1", "input.size.type is missing: one of: string, integer, n"),
        (
            HEAD + '[input.size]\ntype = "int"',
            "input.size.type must be one of: string, integer, number, boolean, object, array, fi",
        ),
        (
            HEAD + '[input.size]\ntype = "integer"\nmaximum = 5',
            "input.size.maximum is no known key; did you mean max?",
        ),
        (
            HEAD + '[input.size]\ntype = "integer"\nmin = 50\nmax = 45',
            "input.size.min must not exceed max (50 > 45)",
        ),
        (
            HEAD + '[input.size]\ntype = "string"\nmin_length = 3\nmax_length = 2',
            "input.size.min_length must not exceed max_length (3 > 2)",
        ),
        (
            HEAD + '[input.size]\ntype = "string"\nmin = 3',
            "input.size.min does not apply to type string",
        ),
        (
            HEAD + '[input.size]\ntype = "integer"\nmax_length = 3',
            "input.size.max_length does not apply to type integer",
        ),
        (
            HEAD + '[input.size]\ntype = "boolean"\nchoices = [true]',
            "input.size.choices does not apply to type boolean",
        ),
        (
            HEAD + '[input.size]\ntype = "integer"\nchoices = [1, "2"]',
            'input.size.choices must hold an integer, not "2"',
        ),
        (
            HEAD + '[input.size]\ntype = "integer"\nmax = 5\ndefault = 6',
            "input.size.default must be an integer of at most 5, not 6",
        ),
        (
            HEAD + '[input.size]\ntype = "integer"\ndefault = true',
            "input.size.default must be an integer, not true",
        ),
        (
            HEAD + '[input.size]\ntype = "file"\nexample = "photo.png"',
            'input.size.example must be a URL, or a file\'s content in base64, not "photo.png"',
        ),
        (
            HEAD + '[input.size]\ntype = "number"\nmax = inf',
            "input.size.max is inf, which JSON cannot hold",
        ),
        (
            HEAD + '[input.size]\ntype = "array"\ndefault = [[07:32:00]]',
            "input.size.default is 07:32:00, which JSON cannot hold",
        ),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(toml: str, message: str) -> None:
    """Where it stands, what is allowed there, and what was found."""
    with pytest.raises(UsageError) as caught:
        read(toml)
    assert caught.value.message.startswith(f"my.toml: {message}")


@pytest.mark.parametrize(
    ("toml", "hint"),
    [
        (
            HEAD + "size = 1",
            "Known here: name, image, container_disk_gb, start_command, env",
        ),
        (HEAD + '[input.a]\ntype = "array"\nmin = 3', "It applies to: integer, number"),
        (HEAD + "env.MODE = 1", "Put it in quotes."),
    ],
)
def test_a_mistake_comes_with_a_way_out(toml: str, hint: str) -> None:
    """The hint lists what is known, or says how to write it."""
    with pytest.raises(UsageError) as caught:
        read(toml)
    assert hint == caught.value.hint


def test_a_wrong_pool_keeps_its_own_hint() -> None:
    """The story of ADA_16 is told for a file as it is for a flag."""
    with pytest.raises(UsageError) as caught:
        read(HEAD + '[endpoint]\ngpu = ["ADA_16"]')
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("All pools:  runpodctl-py gpus")
