"""What the catalogue says, and how it is looked things up in."""

from __future__ import annotations

import pytest

from runpodctl_py.emulator.control.catalog import (
    CPU_FLAVORS,
    DATA_CENTERS,
    GPU_TYPES,
    gpu_type_of,
    is_cpu_instance,
)
from runpodctl_py.emulator.control.model import Endpoint
from runpodctl_py.gpus import POOLS


def test_every_card_of_every_pool_is_there() -> None:
    """With its pool, its memory and its price per hour."""
    for pool in POOLS:
        for card in pool.cards:
            gpu_type = GPU_TYPES[card.id]
            assert (gpu_type.pool, gpu_type.memory_gb) == (pool, card.vram_gb)
            assert gpu_type.serverless_per_h_usd == pool.price_per_h_usd


def test_cards_outside_the_pools_have_no_serverless_price() -> None:
    """They are RunPod's all the same."""
    assert GPU_TYPES["AMD Instinct MI300X OAM"].manufacturer == "AMD"
    assert GPU_TYPES["Tesla V100-SXM2-32GB"].manufacturer == "NVIDIA"
    assert GPU_TYPES["NVIDIA A30"].serverless_per_h_usd is None


@pytest.mark.parametrize(
    ("gpu_type_id", "name"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA RTX A4000", "RTX A4000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
    ],
)
def test_cards_have_runpods_display_names(gpu_type_id: str, name: str) -> None:
    """As its page of GPU types writes them."""
    assert GPU_TYPES[gpu_type_id].name == name


def test_data_centers_have_a_region() -> None:
    """Each of them, read from its id."""
    assert (DATA_CENTERS["EU-RO-1"].location, DATA_CENTERS["EU-RO-1"].region) == (
        "Europe",
        "EUROPE",
    )
    assert DATA_CENTERS["US-GA-1"].location == "United States"
    assert all(each.id == center for center, each in DATA_CENTERS.items())


@pytest.mark.parametrize(
    ("instance_id", "exists"),
    [
        ("cpu3c-2-4", True),
        ("cpu3g-4-16", True),
        ("cpu5c-8-16", True),
        ("cpu3c-2-8", False),
        ("cpu3c-3-6", False),
        ("cpu3c-64-128", False),
        ("cpu4c-2-4", False),
        ("cpu3c", False),
    ],
)
def test_cpu_instances_are_a_flavor_with_its_memory(instance_id: str, exists: bool) -> None:  # noqa: FBT001  A parameter of the test.
    """And a power of two of vCPUs that the flavour offers."""
    assert is_cpu_instance(instance_id) is exists


def test_flavors_are_named_by_generation_and_kind() -> None:
    """The last letter tells how much memory comes with a vCPU."""
    assert {each.id: each.ram_gb_per_vcpu for each in CPU_FLAVORS.values()} == {
        "cpu3c": 2,
        "cpu3g": 4,
        "cpu3m": 8,
        "cpu5c": 2,
        "cpu5g": 4,
        "cpu5m": 8,
    }


@pytest.mark.parametrize(
    ("gpu_ids", "gpu_type_id"),
    [
        ("AMPERE_48,ADA_24", "NVIDIA A40"),
        ("AMPERE_48,-NVIDIA A40", "NVIDIA RTX A6000"),
        (None, None),
    ],
)
def test_a_worker_has_the_first_card_left(gpu_ids: str | None, gpu_type_id: str | None) -> None:
    """Of the preferred pool."""
    endpoint = Endpoint(id="e", name="e", created_at=0, template_id="t", gpu_ids=gpu_ids)
    found = gpu_type_of(endpoint)
    assert (None if found is None else found.id) == gpu_type_id


def test_a_cpu_endpoint_has_no_card() -> None:
    """Even if it names a pool, too."""
    endpoint = Endpoint(
        id="e",
        name="e",
        created_at=0,
        template_id="t",
        gpu_ids="ADA_24",
        instance_ids=("cpu3c-2-4",),
    )
    assert gpu_type_of(endpoint) is None
