"""What RunPod offers: GPU types, CPU flavours and data centres, as plain data for both APIs.

Names and sizes are RunPod's (API reference 2 and 3.4, its page of GPU types). Stock is simulated:
everything is there, everywhere, always. What no source tells, such as the prices of pods, is None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runpodctl_py.gpus import POOLS, GpuSelection, Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.emulator.control.model import Endpoint

STOCK: Final = "HIGH"
"""How much there is of everything, in the words of REST; GraphQL writes `High`."""


@dataclass(frozen=True, slots=True)
class GpuType:
    """One type of GPU.

    Args:
        id: RunPod's id, such as `NVIDIA GeForce RTX 4090`.
        name: What people call it.
        memory_gb: Its VRAM.
        pool: The Serverless pool it belongs to; None if it is for pods only.
    """

    id: str
    name: str
    memory_gb: int
    pool: Pool | None = None

    @property
    def manufacturer(self) -> str:
        """NVIDIA or AMD."""
        return "AMD" if self.id.startswith("AMD") else "NVIDIA"

    @property
    def serverless_per_h_usd(self) -> float | None:
        """What one card costs in an hour of a worker's running, where RunPod tells."""
        return None if self.pool is None else self.pool.price_per_h_usd


@dataclass(frozen=True, slots=True)
class CpuFlavor:
    """One kind of CPU worker; an instance of it is called `cpu3c-2-4` (vCPUs, GB).

    Its price is in no source.

    Args:
        id: RunPod's id, such as `cpu3c`.
        name: What it is made for.
        group: Its generation.
        ram_gb_per_vcpu: How much memory comes with each vCPU.
        disk_gb_per_vcpu: How large a worker's disk may be for each vCPU, where it is known (2).
        smallest_vcpu: The fewest vCPUs an instance has.
        largest_vcpu: The most.
    """

    id: str
    name: str
    group: str
    ram_gb_per_vcpu: int
    disk_gb_per_vcpu: int | None
    smallest_vcpu: int = 2
    largest_vcpu: int = 32


@dataclass(frozen=True, slots=True)
class DataCenter:
    """One data centre; GraphQL shows its id as its name, too.

    Args:
        id: RunPod's id, such as `EU-RO-1`.
        location: Where it is, as GraphQL says it.
        region: The same in the words of REST.
    """

    id: str
    location: str
    region: str


_NAMES: Final = {
    "NVIDIA A100 80GB PCIe": "A100 PCIe",
    "NVIDIA A100-SXM4-80GB": "A100 SXM",
    "NVIDIA H100 80GB HBM3": "H100 SXM",
    "NVIDIA H200": "H200 SXM",
    "NVIDIA RTX A4000": "RTX A4000",
    "NVIDIA RTX A4500": "RTX A4500",
    "NVIDIA RTX A5000": "RTX A5000",
    "NVIDIA RTX A6000": "RTX A6000",
}
"""Where RunPod's name of a card is not the short one of `gpus.py`."""

_FOR_PODS_ONLY: Final = (
    GpuType("AMD Instinct MI300X OAM", "MI300X", 192),
    GpuType("NVIDIA A30", "A30", 24),
    GpuType("NVIDIA GeForce RTX 3070", "RTX 3070", 8),
    GpuType("NVIDIA GeForce RTX 3080", "RTX 3080", 10),
    GpuType("NVIDIA GeForce RTX 3080 Ti", "RTX 3080 Ti", 12),
    GpuType("NVIDIA GeForce RTX 3090 Ti", "RTX 3090 Ti", 24),
    GpuType("NVIDIA GeForce RTX 4070 Ti", "RTX 4070 Ti", 12),
    GpuType("NVIDIA GeForce RTX 4080", "RTX 4080", 16),
    GpuType("NVIDIA GeForce RTX 4080 SUPER", "RTX 4080 SUPER", 16),
    GpuType("NVIDIA GeForce RTX 5080", "RTX 5080", 16),
    GpuType("NVIDIA RTX 4000 SFF Ada Generation", "RTX 4000 Ada SFF", 20),
    GpuType("NVIDIA RTX 5000 Ada Generation", "RTX 5000 Ada", 32),
    GpuType("NVIDIA RTX A2000", "RTX A2000", 6),
    GpuType("Tesla V100-FHHL-16GB", "V100 FHHL", 16),
    GpuType("Tesla V100-PCIE-16GB", "Tesla V100", 16),
    GpuType("Tesla V100-SXM2-16GB", "V100 SXM2", 16),
    GpuType("Tesla V100-SXM2-32GB", "V100 SXM2 32GB", 32),
)

GPU_TYPES: Final[Mapping[str, GpuType]] = {
    each.id: each
    for each in (
        *(
            GpuType(card.id, _NAMES.get(card.id, card.short_name), card.vram_gb, pool)
            for pool in POOLS
            for card in pool.cards
        ),
        *_FOR_PODS_ONLY,
    )
}
"""Every GPU type by its id: those of the Serverless pools first, the smallest pool leading."""

CPU_FLAVORS: Final[Mapping[str, CpuFlavor]] = {
    each.id: each
    for each in (
        CpuFlavor("cpu3c", "Compute-Optimized", "Gen 3", 2, 10),
        CpuFlavor("cpu3g", "General Purpose", "Gen 3", 4, 10),
        CpuFlavor("cpu3m", "Memory-Optimized", "Gen 3", 8, 10),
        CpuFlavor("cpu5c", "Compute-Optimized", "Gen 5", 2, 15),
        CpuFlavor("cpu5g", "General Purpose", "Gen 5", 4, None),
        CpuFlavor("cpu5m", "Memory-Optimized", "Gen 5", 8, None),
    )
}
"""Every CPU flavour by its id."""

_PLACES: Final = {
    "AP": ("Asia Pacific", "ASIA"),
    "CA": ("Canada", "NORTH_AMERICA"),
    "EU": ("Europe", "EUROPE"),
    "EUR": ("Europe", "EUROPE"),
    "OC": ("Oceania", "OCEANIA"),
    "US": ("United States", "NORTH_AMERICA"),
}
"""What the first part of a data centre's id stands for."""

_DATA_CENTER_IDS: Final = (
    "AP-IN-1 AP-JP-1 CA-MTL-1 CA-MTL-2 CA-MTL-3 EU-CZ-1 EU-FR-1 EU-NL-1 EU-RO-1 EU-SE-1 EUR-IS-1 "
    "EUR-IS-2 EUR-IS-3 EUR-NO-1 OC-AU-1 US-CA-2 US-DE-1 US-GA-1 US-GA-2 US-IL-1 US-KS-2 US-KS-3 "
    "US-MD-1 US-MO-1 US-MO-2 US-NC-1 US-NC-2 US-NE-1 US-TX-1 US-TX-3 US-TX-4 US-WA-1"
)

DATA_CENTERS: Final[Mapping[str, DataCenter]] = {
    each: DataCenter(each, *_PLACES[each.partition("-")[0]]) for each in _DATA_CENTER_IDS.split()
}
"""Every data centre by its id: those of REST v1's contract, and those with network volumes."""


def gpu_type_of(endpoint: Endpoint) -> GpuType | None:
    """Returns the card an endpoint's workers have: the first one left of its preferred pool.

    None for a CPU endpoint, or one that names no pool.
    """
    if endpoint.instance_ids:
        return None
    cards = GpuSelection.from_gpu_ids(endpoint.gpu_ids or "").cards
    return GPU_TYPES[cards[0].id] if cards else None


def is_cpu_instance(instance_id: str) -> bool:
    """Whether RunPod has such a CPU worker: a flavour, vCPUs, and the memory that goes with it."""
    match = re.fullmatch(r"(\w+)-(\d{1,4})-(\d{1,4})", instance_id)
    if match is None or (flavor := CPU_FLAVORS.get(match[1])) is None:
        return False
    vcpu, ram_gb = int(match[2]), int(match[3])
    in_range = flavor.smallest_vcpu <= vcpu <= flavor.largest_vcpu
    return in_range and vcpu.bit_count() == 1 and ram_gb == vcpu * flavor.ram_gb_per_vcpu
