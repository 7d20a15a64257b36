from __future__ import annotations

from pathlib import Path

import pytest

from runpodctl_py.errors import UsageError
from runpodctl_py.gpus import GpuSelection, pool
from runpodctl_py.presets.loading import load, names

BUNDLED = ("chatterbox", "comfyui", "qwen", "test", "vllm")
OUR_WORKERS = ("chatterbox", "qwen", "test")
SAMPLES = {"object": {}}
MINIMAL = 'name = "my-model"\n[template]\nimage = "me/model:1"\n'


def test_the_bundled_presets_are_listed() -> None:
    """What comes with the package, in alphabetical order."""
    assert names() == BUNDLED


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_preset_loads_by_its_name(name: str) -> None:
    """Its file name, its name and its environment variable agree."""
    preset = load(name)
    assert name == preset.name
    assert f"RUNPOD_{name.upper()}_ENDPOINT_ID" == preset.env_key
    assert preset.title
    assert preset.description
    assert all(field.help for field in preset.input.values())


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_presets_defaults_pass_its_own_check(name: str) -> None:
    """A job with every default, and the required fields, is one that we would send."""
    fields = load(name).input.values()
    payload = {field.name: field.default for field in fields if field.default is not None}
    required = {
        field.name: field.example or SAMPLES.get(field.type, "https://example.com/a.png")
        for field in fields
        if field.required
    }
    if name == "vllm":  # It takes one of several, so none is required.
        required["prompt"] = "Hello"
    load(name).check_input(payload | required)
    assert required


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("chatterbox", 'speak "Hello there"'),
        ("comfyui", "comfy run workflow_api.json"),
        ("qwen", "layers picture.png"),
        ("test", "submit --task text_processing"),
        ("vllm", 'chat "Hello"'),
    ],
)
def test_a_bundled_preset_names_a_first_try(name: str, example: str) -> None:
    """The command for people that its worker has."""
    assert load(name).example == example


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_presets_pools_exist(name: str) -> None:
    """Every pool is RunPod's, and its price is known."""
    pools = [pool(pool_id) for pool_id in load(name).endpoint.gpu.pools]
    assert pools
    assert all(each is not None and each.price_per_s_usd is not None for each in pools)


def test_the_presets_of_our_workers_fit_into_a_new_accounts_quota() -> None:
    """RunPod refuses an endpoint once all workers_max exceed 5 (API reference 1.4)."""
    assert sum(load(name).endpoint.workers_max for name in OUR_WORKERS) == 5


@pytest.mark.parametrize(
    ("name", "image", "endpoint_name"),
    [
        ("test", "runpodctl/worker-test:0.1.0", "test"),
        ("chatterbox", "runpodctl/worker-chatterbox:0.1.0", "chatterbox-tts"),
        ("qwen", "runpodctl/worker-qwen-layered:0.1.0", "qwen-image-layered"),
    ],
)
def test_a_bundled_preset_starts_its_own_image(name: str, image: str, endpoint_name: str) -> None:
    """The template and the endpoint share a name, and the image tells its family apart."""
    preset = load(name)
    assert image == preset.template.image
    assert endpoint_name == preset.template.name == preset.endpoint.name
    assert "WORKER_TASK" in preset.template.env


@pytest.mark.parametrize(
    ("name", "gpu_ids", "disk_gb", "timeout_s"),
    [
        ("test", "AMPERE_16", 5, 120),
        ("chatterbox", "AMPERE_16,AMPERE_24,ADA_24", 20, 600),
        ("qwen", "AMPERE_80,ADA_80_PRO", 80, 1800),
        ("vllm", "AMPERE_24,ADA_24", 100, 600),
        ("comfyui", "ADA_24,AMPERE_24", 20, 900),
    ],
)
def test_a_bundled_preset_asks_for_what_its_model_needs(
    name: str, gpu_ids: str, disk_gb: int, timeout_s: int
) -> None:
    """The pools, disks and timeouts of the workers reference, sections A, B, C and E."""
    preset = load(name)
    assert gpu_ids == preset.endpoint.gpu.to_gpu_ids()
    assert disk_gb == preset.template.container_disk_gb
    assert timeout_s == preset.endpoint.execution_timeout_s


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("chaterbox", "There is no preset chaterbox; did you mean chatterbox?"),
        ("Qwen", "There is no preset Qwen; did you mean qwen?"),
        ("whisper", "There is no preset whisper"),
        ("", "There is no preset "),
    ],
)
def test_an_unknown_preset_suggests_the_nearest(wrong: str, message: str) -> None:
    """A wrong name leads to the right one, and the hint lists all."""
    with pytest.raises(UsageError) as caught:
        load(wrong)
    assert message == caught.value.message
    expected = f"Presets: {', '.join(BUNDLED)}; or the path of your own, ending in .toml"
    assert expected == caught.value.hint


def test_a_path_loads_a_persons_own_preset() -> None:
    """What ends in .toml or contains a separator is a path; the rest has defaults."""
    Path("mine.toml").write_text(MINIMAL, encoding="utf-8")
    preset = load("mine.toml")
    assert preset == load("./mine.toml")
    assert preset.name == preset.title == "my-model"
    assert preset.env_key == "RUNPOD_MY_MODEL_ENDPOINT_ID"
    assert preset.template.name == preset.endpoint.name == "my-model"
    assert GpuSelection(("AMPERE_16",)) == preset.endpoint.gpu
    assert preset.input == {}


def test_a_path_may_have_any_suffix_if_it_has_a_folder() -> None:
    """A separator alone makes a path of it."""
    Path("presets").mkdir()
    Path("presets/mine").write_text(MINIMAL, encoding="utf-8")
    assert load("presets/mine").name == "my-model"


def test_a_byte_order_mark_does_no_harm() -> None:
    """Some editors write one."""
    Path("mine.toml").write_text(MINIMAL, encoding="utf-8-sig")
    assert load("mine.toml").name == "my-model"


def test_a_missing_file_is_named() -> None:
    """A path never falls back to a bundled preset."""
    with pytest.raises(UsageError) as caught:
        load("./test")
    assert caught.value.message == "./test cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'name = "x\n', "mine.toml is no TOML file: Illegal character"),
        (b'name = "\xff"\n', "mine.toml is no TOML file: 'utf-8' codec can't decode"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(content: bytes, message: str) -> None:
    """The reader's own words follow the file's name."""
    Path("mine.toml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load("mine.toml")
    assert caught.value.message.startswith(message)
