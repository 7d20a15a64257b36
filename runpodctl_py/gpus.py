"""The GPU pools of RunPod Serverless, and the choice of cards that an endpoint makes among them.

Owns the table of pools (members, VRAM, price per second) and the `gpuIds` syntax: pools in
priority order, then cards to leave out (API reference 2). Knows nothing of stock or of data
centres; RunPod's own catalogue has the last word on both. Imported by everybody, so it stays light.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALL_POOLS_HINT: Final = "All pools:  runpodctl-py gpus"


@dataclass(frozen=True, slots=True)
class Card:
    """One type of GPU.

    Args:
        id: RunPod's GPU type id, such as `NVIDIA GeForce RTX 4090`.
        vram_gb: The card's memory, in GB.
    """

    id: str
    vram_gb: int

    @property
    def short_name(self) -> str:
        """The name people use: `RTX 4090`, `A4000`, `RTX 4000 Ada`."""
        return re.sub(r"NVIDIA |GeForce |RTX (?=A\d)| Generation| Edition", "", self.id)


@dataclass(frozen=True, slots=True)
class Pool:
    """Cards that RunPod hands out, and bills, alike.

    Args:
        id: RunPod's name of the pool.
        cards: Its members.
        vram_gb: The memory that every member has at least, in GB.
        price_per_s_usd: What one card costs while a worker runs; `None` where RunPod's
            price list does not name the pool.
    """

    id: str
    cards: tuple[Card, ...]
    vram_gb: int
    price_per_s_usd: float | None

    @property
    def price_per_h_usd(self) -> float | None:
        """What one card costs in an hour of running."""
        return None if self.price_per_s_usd is None else self.price_per_s_usd * 3600


def _pool(pool_id: str, vram_gb: int, price_per_s_usd: float | None, *cards: str | Card) -> Pool:
    """Build a pool; a card given by its name alone has the pool's VRAM."""
    members = tuple(Card(card, vram_gb) if isinstance(card, str) else card for card in cards)
    return Pool(pool_id, members, vram_gb, price_per_s_usd)


POOLS: Final[tuple[Pool, ...]] = (
    _pool(
        "AMPERE_16",
        16,
        0.00016,
        "NVIDIA RTX A4000",
        Card("NVIDIA RTX A4500", 20),
        Card("NVIDIA RTX 4000 Ada Generation", 20),
        "NVIDIA RTX 2000 Ada Generation",
    ),
    _pool("AMPERE_24", 24, 0.00019, "NVIDIA L4", "NVIDIA RTX A5000", "NVIDIA GeForce RTX 3090"),
    _pool("ADA_24", 24, 0.00031, "NVIDIA GeForce RTX 4090"),
    _pool("ADA_32_PRO", 32, None, "NVIDIA GeForce RTX 5090"),
    _pool("AMPERE_48", 48, 0.00034, "NVIDIA A40", "NVIDIA RTX A6000"),
    _pool("ADA_48_PRO", 48, 0.00053, "NVIDIA L40", "NVIDIA L40S", "NVIDIA RTX 6000 Ada Generation"),
    _pool("AMPERE_80", 80, 0.00076, "NVIDIA A100 80GB PCIe", "NVIDIA A100-SXM4-80GB"),
    _pool(
        "ADA_80_PRO",
        80,
        0.00116,
        "NVIDIA H100 PCIe",
        "NVIDIA H100 80GB HBM3",
        Card("NVIDIA H100 NVL", 94),
    ),
    _pool(
        "BLACKWELL_96",
        96,
        0.00111,
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
        "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
    ),
    _pool("HOPPER_141", 141, 0.00155, "NVIDIA H200"),
    _pool("BLACKWELL_180", 180, 0.00240, "NVIDIA B200"),
)
"""Every pool, smallest first (API reference 2)."""

_BY_ID: Final = {pool.id: pool for pool in POOLS}

# Names that older guides spread (API reference 2, "Seed names"): the card they meant, whether
# Serverless offers it, and the pool that has it or comes nearest.
_MYTHICAL: Final = {
    "AMPERE_12": ("RTX 3060", False, "AMPERE_16"),
    "ADA_16": ("RTX 4060", False, "AMPERE_16"),
    "AMPERE_A5000": ("RTX A5000", True, "AMPERE_24"),
}


def pool(pool_id: str) -> Pool | None:
    """Look a pool up by its exact id; `None` if RunPod has none of that name that we know of."""
    return _BY_ID.get(pool_id)


@dataclass(frozen=True, slots=True, eq=False)
class GpuSelection:
    """Which cards an endpoint's workers may get.

    Two selections are equal if they try the same pools in the same order and leave out the same
    cards; the order in which cards are left out means nothing to RunPod.

    Args:
        pools: Pool ids, the preferred one first.
        excluded: GPU type ids that must not be used although a chosen pool has them.
    """

    pools: tuple[str, ...]
    excluded: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> GpuSelection:
        """Read what a person wrote: `AMPERE_48,ADA_24,-NVIDIA A40`.

        Pools and cards are recognised in any case; the result has RunPod's spelling.

        Raises:
            UsageError: If an entry is empty, unknown or given twice, if an excluded card is in
                none of the chosen pools, or if no card is left.
        """
        entries = [entry.strip() for entry in text.split(",")]
        if not all(entries):
            raise UsageError(
                "The GPU selection has an empty entry", hint='Write it like "AMPERE_16,ADA_24".'
            )
        pools = [_known_pool(entry) for entry in entries if not entry.startswith("-")]
        if not pools:
            raise UsageError(
                "The GPU selection names no pool",
                hint=f"Name at least one to take cards from. {_ALL_POOLS_HINT}",
            )
        exclusions = [entry[1:].strip() for entry in entries if entry.startswith("-")]
        selection = cls(
            tuple(chosen.id for chosen in pools),
            tuple(_known_exclusion(entry, pools).id for entry in exclusions),
        )
        _check_no_duplicates((*selection.pools, *(f"-{card}" for card in selection.excluded)))
        if not selection.cards:
            raise UsageError(
                f"No card is left: every card of {', '.join(selection.pools)} is excluded",
                hint="Leave an exclusion out, or add a pool.",
            )
        return selection

    @classmethod
    def from_gpu_ids(cls, text: str) -> GpuSelection:
        """Read RunPod's `gpuIds` as it came; what we do not know is kept as it is."""
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        return cls(
            tuple(entry for entry in entries if not entry.startswith("-")),
            tuple(entry[1:].strip() for entry in entries if entry.startswith("-")),
        )

    def to_gpu_ids(self) -> str:
        """Write it in RunPod's syntax: pools by priority, then the cards left out."""
        return ",".join((*self.pools, *(f"-{card_id}" for card_id in self.excluded)))

    @property
    def cards(self) -> tuple[Card, ...]:
        """The cards that remain, preferred ones first; pools unknown to us contribute none."""
        pools = (_BY_ID[pool_id] for pool_id in self.pools if pool_id in _BY_ID)
        return tuple(card for pool in pools for card in pool.cards if card.id not in self.excluded)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GpuSelection):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[tuple[str, ...], frozenset[str]]:
        return self.pools, frozenset(self.excluded)


def price_per_s_usd(selection: GpuSelection, gpu_count: int) -> float | None:
    """What one worker costs per second while it runs on the pool it prefers.

    Args:
        selection: The endpoint's choice of pools; the first one sets the price.
        gpu_count: How many cards each worker gets.

    Returns:
        The price, or `None` if it is not known.
    """
    preferred = _BY_ID.get(selection.pools[0]) if selection.pools else None
    if preferred is None or preferred.price_per_s_usd is None:
        return None
    return preferred.price_per_s_usd * gpu_count


def _known_pool(entry: str) -> Pool:
    """Find the pool that a person named, or explain which one they may have meant."""
    pool_id = entry.upper()
    if pool_id in _BY_ID:
        return _BY_ID[pool_id]
    if pool_id in _MYTHICAL:
        raise _mythical_pool(pool_id)
    meant = _cards_called(entry, POOLS)
    if meant:
        raise _card_as_pool(entry, meant)
    nearest = _nearest_pool(re.sub(r"[\s-]+", "_", pool_id))
    suggestion = f"Did you mean {_describe(nearest)}? " if nearest else ""
    raise UsageError(f"{entry} is not a GPU pool", hint=suggestion + _ALL_POOLS_HINT)


def _mythical_pool(pool_id: str) -> UsageError:
    """Say where a name that never was a pool comes from, and which pool to take."""
    card, offered, nearest_id = _MYTHICAL[pool_id]
    nearest = _describe(_BY_ID[nearest_id])
    story = (
        f"which is in {nearest}."
        if offered
        else f"which RunPod Serverless does not offer. The nearest pool is {nearest}."
    )
    return UsageError(
        f"{pool_id} is not a GPU pool",
        hint=f"Older guides use it for the {card}, {story} {_ALL_POOLS_HINT}",
    )


def _card_as_pool(entry: str, meant: list[Card]) -> UsageError:
    """Name the pools that have a card, and how to get that card alone."""
    homes = [pool for pool in POOLS if any(card in meant for card in pool.cards)]
    others = [card for home in homes for card in home.cards if card not in meant]
    hint = f"It is in {' and in '.join(_describe(home) for home in homes)}. "
    if others and len(homes) == 1:
        alone = GpuSelection((homes[0].id,), tuple(card.id for card in others))
        hint += f'Without the others:  --gpu "{alone.to_gpu_ids()}"\n'
    return UsageError(f"{entry} is a card, not a GPU pool", hint=hint + _ALL_POOLS_HINT)


def _known_exclusion(entry: str, pools: list[Pool]) -> Card:
    """Find the card to leave out in the chosen pools, or explain why it cannot be left out."""
    chosen = [card for pool in pools for card in pool.cards]
    for card in chosen:
        if card.id.upper() == entry.upper():
            return card
    if entry.upper() in _BY_ID:
        raise UsageError(
            f"{entry.upper()} is a pool; only single cards can be excluded",
            hint="Leave the pool out of the selection instead.",
        )
    called = [card.id for card in _cards_called(entry, pools)]
    nearest = called[0] if called else _nearest(entry, [card.id for card in chosen])
    suggestion = f'Did you mean "-{nearest}"? ' if nearest else ""
    listing = f"Cards of the chosen pools: {', '.join(card.id for card in chosen)}"
    raise UsageError(
        f"-{entry} excludes nothing: no chosen pool has such a card", hint=suggestion + listing
    )


def _cards_called(name: str, pools: Iterable[Pool]) -> list[Card]:
    """Find the cards that people call by this name: `4090`, `RTX 4090`, `rtx4090`, `H100`."""
    words = _words(name)
    if not any(char.isdigit() for word in words for char in word):  # `NVIDIA` names no card.
        return []
    cards = [card for pool in pools for card in pool.cards]
    by_words = [card for card in cards if set(words) <= set(_words(card.id))]
    return by_words or [card for card in cards if "".join(words) in _endings(card.id)]


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _endings(card_id: str) -> set[str]:
    """Join the last words of an id: `NVIDIA RTX A4000` ends with `a4000` and `rtxa4000`."""
    words = _words(card_id)
    return {"".join(words[start:]) for start in range(len(words))}


def _describe(pool: Pool) -> str:
    """Name a pool with its members, VRAM and price in brackets."""
    facts = [", ".join(card.short_name for card in pool.cards), f"{pool.vram_gb} GB"]
    if pool.price_per_s_usd is not None:
        facts.append(f"${pool.price_per_s_usd:.5f}/s")
    return f"{pool.id} ({'; '.join(facts)})"


def _nearest_pool(name: str) -> Pool | None:
    """Prefer the pool whose name was cut short (`ADA_48`) over one that is spelled alike."""
    continued = (pool_id for pool_id in _BY_ID if pool_id.startswith(f"{name}_"))
    nearest = next(continued, None) or _nearest(name, _BY_ID)
    return _BY_ID[nearest] if nearest else None


def _nearest(name: str, names: Iterable[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(names), n=1)), None)


def _check_no_duplicates(entries: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry in seen:
            raise UsageError(
                f"The GPU selection names {entry} twice", hint="Leave one of them out."
            )
        seen.add(entry)
