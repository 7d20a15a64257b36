"""What stands around the images: the build files and RunPod's Hub agree with the worker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import worker
from runpodctl_py.gpus import POOLS
from runpodctl_py.presets import loading
from worker.tasks import FAMILIES
from worker.tasks.chatterbox import read_variant
from worker.tasks.chatterbox.sources import Variant
from worker.tasks.chatterbox.wanted import Wanted
from worker.weights import IMAGE_CACHE, VOLUME_CACHE

REPOSITORY = Path(worker.__file__).parents[1]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text("utf-8")
BAKE = (REPOSITORY / "docker-bake.hcl").read_text("utf-8")


def read_hub(name: str) -> dict[str, Any]:
    """Read a file for RunPod's Hub."""
    document: dict[str, Any] = json.loads((REPOSITORY / ".runpod" / name).read_text("utf-8"))
    return document


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_an_image(family: str) -> None:
    """A target by its name that sets it, its requirements, a first job, and a place in the bake."""
    assert re.search(rf"^FROM \S+ AS {family}$", DOCKERFILE, re.MULTILINE)
    assert f"WORKER_TASK={family}" in DOCKERFILE
    requirements = REPOSITORY / "worker" / "requirements"
    assert {f"{family}.in", f"{family}.txt"} <= {each.name for each in requirements.iterdir()}
    job = json.loads((REPOSITORY / "worker" / "test_inputs" / f"{family}.json").read_text("utf-8"))
    assert set(job) == {"input"}
    assert f'target "{family}"' in BAKE
    assert f"${{REGISTRY}}/worker-{family}:" in BAKE


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_family_asks_for_is_pinned(family: str) -> None:
    """The resolver's answer meets it, each by one version."""
    folder = REPOSITORY / "worker" / "requirements"
    lines = (folder / f"{family}.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and line[0] not in "# ")
    for line in (folder / f"{family}.in").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            wanted = Requirement(line.partition("  #")[0])
            assert pins[wanted.name] in wanted.specifier, wanted.name


def test_baked_images_are_those_of_the_presets() -> None:
    """With the bake's own defaults; other presets deploy other people's images."""
    version = re.search(r'variable "VERSION" \{\s*default = "(.+)"', BAKE)
    registry = re.search(r'variable "REGISTRY" \{\s*default = "(.+)"', BAKE)
    assert version is not None
    assert registry is not None
    baked = {f"{registry[1]}/worker-{family}:{version[1]}" for family in FAMILIES}
    deployed = {loading.load(name).template.image for name in loading.names()}
    assert baked == {image for image in deployed if image.startswith(f"{registry[1]}/")}


def stage(name: str) -> str:
    """Return one stage of the Dockerfile."""
    return DOCKERFILE.partition(f" AS {name}\n")[2].partition("\nFROM ")[0]


def test_weights_are_where_the_worker_looks() -> None:
    """Baked into the image, or on the volume, where they are kept."""
    assert f"HF_HUB_CACHE={IMAGE_CACHE}" in stage("chatterbox-weights")
    assert f"HF_HUB_CACHE={IMAGE_CACHE}" in stage("chatterbox")
    assert "COPY --from=chatterbox-weights --chown=worker /opt /opt" in stage("chatterbox")
    for name in ("chatterbox-bare", "qwen-layered"):
        assert f"HF_HUB_CACHE={VOLUME_CACHE}" in stage(name)


def test_a_build_without_a_target_is_what_the_hub_offers() -> None:
    """RunPod's builds from GitHub name none."""
    assert re.search(r"^ARG TASK=chatterbox$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.rstrip().endswith("FROM ${TASK}")


def test_what_is_copied_exists() -> None:
    """A stage that cannot be built here would tell it too late."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    paths = [path for each in copied for path in each.split()]
    assert len(paths) > 8
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


def test_the_hub_offers_what_the_preset_sets_up() -> None:
    """The same cards, disk and CUDA; RunPod's pools by their names."""
    config = read_hub("hub.json")["config"]
    preset = loading.load("chatterbox")
    pools = config["gpuIds"].split(",")
    assert set(pools) <= {pool.id for pool in POOLS}
    assert pools == list(preset.endpoint.gpu.pools)
    assert config["containerDiskInGb"] == preset.template.container_disk_gb
    assert tuple(config["allowedCudaVersions"]) == preset.endpoint.allowed_cuda_versions


def test_the_hubs_variables_are_the_workers() -> None:
    """Each value that it offers is one that the worker takes."""
    (model,) = (
        each for each in read_hub("hub.json")["config"]["env"] if each["key"] == "CHATTERBOX_MODEL"
    )
    offered = [each["value"] for each in model["input"]["options"]]
    assert [read_variant({"CHATTERBOX_MODEL": each}) for each in offered] == list(Variant)
    assert read_variant({}) == model["input"]["default"]


def test_the_hubs_tests_are_jobs_that_the_worker_takes() -> None:
    """With time for a cold start."""
    document = read_hub("tests.json")
    for test in document["tests"]:
        assert Wanted.parse({"input": test["input"]}, Variant.ENGLISH).text
        assert test["timeout"] >= 300_000
    cards = {card.id for pool in POOLS for card in pool.cards}
    assert document["config"]["gpuTypeId"] in cards


def test_the_repository_names_what_the_hub_looks_for() -> None:
    """A handler beside its files, a Dockerfile and a README."""
    assert (REPOSITORY / ".runpod" / "handler.py").is_file()
    assert (REPOSITORY / "README.md").is_file()
