from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.errors import UsageError
from runpodctl_py.gpus import POOLS, Card, GpuSelection, Pool, pool, price_per_s_usd

ALL_POOLS = "All pools:  runpodctl-py gpus"
AMPERE_16 = "AMPERE_16 (A4000, A4500, RTX 4000 Ada, RTX 2000 Ada; 16 GB; $0.00016/s)"
AMPERE_24 = "AMPERE_24 (L4, A5000, RTX 3090; 24 GB; $0.00019/s)"
ADA_24 = "ADA_24 (RTX 4090; 24 GB; $0.00031/s)"
AMPERE_48 = "AMPERE_48 (A40, A6000; 48 GB; $0.00034/s)"
ADA_48_PRO = "ADA_48_PRO (L40, L40S, RTX 6000 Ada; 48 GB; $0.00053/s)"
ADA_80_PRO = "ADA_80_PRO (H100 PCIe, H100 80GB HBM3, H100 NVL; 80 GB; $0.00116/s)"


def refusal(text: str) -> UsageError:
    """Parse a selection that must be refused, and give back why."""
    with pytest.raises(UsageError) as caught:
        GpuSelection.parse(text)
    return caught.value


def found(pool_id: str) -> Pool:
    """Look up a pool that must exist."""
    result = pool(pool_id)
    assert result is not None
    return result


def test_the_table_has_every_pool_once() -> None:
    """The eleven pools of the API reference, smallest first."""
    expected = [
        ("AMPERE_16", 4, 16, 0.00016),
        ("AMPERE_24", 3, 24, 0.00019),
        ("ADA_24", 1, 24, 0.00031),
        ("ADA_32_PRO", 1, 32, None),
        ("AMPERE_48", 2, 48, 0.00034),
        ("ADA_48_PRO", 3, 48, 0.00053),
        ("AMPERE_80", 2, 80, 0.00076),
        ("ADA_80_PRO", 3, 80, 0.00116),
        ("BLACKWELL_96", 3, 96, 0.00111),
        ("HOPPER_141", 1, 141, 0.00155),
        ("BLACKWELL_180", 1, 180, 0.0024),
    ]
    actual = [(each.id, len(each.cards), each.vram_gb, each.price_per_s_usd) for each in POOLS]
    assert expected == actual


def test_no_card_is_in_two_pools_nor_below_its_pools_memory() -> None:
    """A card leads to one pool, and the pool's VRAM is a promise for every member."""
    ids = [card.id for each in POOLS for card in each.cards]
    assert len(ids) == len(set(ids))
    assert all(card.vram_gb >= each.vram_gb for each in POOLS for card in each.cards)


@pytest.mark.parametrize(
    ("pool_id", "card"),
    [
        ("AMPERE_16", Card("NVIDIA RTX A4500", 20)),
        ("AMPERE_16", Card("NVIDIA RTX 4000 Ada Generation", 20)),
        ("ADA_80_PRO", Card("NVIDIA H100 NVL", 94)),
        ("AMPERE_48", Card("NVIDIA A40", 48)),
    ],
)
def test_a_card_carries_its_own_memory(pool_id: str, card: Card) -> None:
    """Members that have more memory than their pool promises say so."""
    assert card in found(pool_id).cards


def test_the_hourly_price_is_the_price_per_second_times_3600() -> None:
    """People compare hours; RunPod bills seconds."""
    assert pytest.approx(1.116) == found("ADA_24").price_per_h_usd
    assert found("ADA_32_PRO").price_per_h_usd is None


def test_an_unknown_pool_is_none() -> None:
    """Looking up is no judgement: only parsing refuses."""
    assert pool("ADA_16") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AMPERE_16", "AMPERE_16"),
        (" ampere_24 , Ada_24 ", "AMPERE_24,ADA_24"),
        ("ADA_24,AMPERE_24", "ADA_24,AMPERE_24"),
        ("AMPERE_48,-NVIDIA A40", "AMPERE_48,-NVIDIA A40"),
        ("-nvidia a40, ampere_48", "AMPERE_48,-NVIDIA A40"),
        ("AMPERE_48,- NVIDIA A40,ADA_24", "AMPERE_48,ADA_24,-NVIDIA A40"),
        (
            "ADA_24,AMPERE_24,-NVIDIA GeForce RTX 4090",
            "ADA_24,AMPERE_24,-NVIDIA GeForce RTX 4090",
        ),
    ],
)
def test_a_selection_gets_runpods_spelling(text: str, expected: str) -> None:
    """Case and white space are forgiven, priority is kept, exclusions come last."""
    assert expected == GpuSelection.parse(text).to_gpu_ids()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("ADA_16", "ADA_16 is not a GPU pool", f"The nearest pool is {AMPERE_16}."),
        ("ada_16", "ADA_16 is not a GPU pool", "Older guides use it for the RTX 4060, which "),
        ("AMPERE_12", "AMPERE_12 is not a GPU pool", f"The nearest pool is {AMPERE_16}."),
        ("AMPERE_12", "AMPERE_12 is not a GPU pool", "RTX 3060, which RunPod Serverless does not"),
        (
            "AMPERE_A5000",
            "AMPERE_A5000 is not a GPU pool",
            f"Older guides use it for the RTX A5000, which is in {AMPERE_24}.",
        ),
        ("AMPER_24", "AMPER_24 is not a GPU pool", f"Did you mean {AMPERE_24}? "),
        ("ada 24", "ada 24 is not a GPU pool", f"Did you mean {ADA_24}? "),
        ("ADA_48", "ADA_48 is not a GPU pool", f"Did you mean {ADA_48_PRO}? "),
        ("any", "any is not a GPU pool", ALL_POOLS),
        ("NVIDIA", "NVIDIA is not a GPU pool", ALL_POOLS),
        ("0", "0 is not a GPU pool", ALL_POOLS),
        ("\u00b2", "\u00b2 is not a GPU pool", ALL_POOLS),
        ("AMPERE_16,RTX 4060", "RTX 4060 is not a GPU pool", ALL_POOLS),
    ],
)
def test_an_unknown_pool_is_explained(text: str, message: str, hint: str) -> None:
    """A wrong name gets its story, the nearest pool, and the way to the full list."""
    error = refusal(text)
    assert message == error.message
    assert error.hint is not None
    assert hint in error.hint
    assert error.hint.endswith(ALL_POOLS)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("RTX 4090", f"It is in {ADA_24}. {ALL_POOLS}"),
        ("4090", f"It is in {ADA_24}. {ALL_POOLS}"),
        ("rtx4090", f"It is in {ADA_24}. {ALL_POOLS}"),
        ("NVIDIA GeForce RTX 4090", f"It is in {ADA_24}. {ALL_POOLS}"),
        ("H100", f"It is in {ADA_80_PRO}. {ALL_POOLS}"),
        ("5090", f"It is in ADA_32_PRO (RTX 5090; 32 GB). {ALL_POOLS}"),
        (
            "NVIDIA A40",
            f'It is in {AMPERE_48}. Without the others:  --gpu "AMPERE_48,-NVIDIA RTX A6000"\n'
            + ALL_POOLS,
        ),
        (
            "l40",
            f'It is in {ADA_48_PRO}. Without the others:  --gpu "ADA_48_PRO,-NVIDIA L40S,'
            '-NVIDIA RTX 6000 Ada Generation"\n' + ALL_POOLS,
        ),
    ],
)
def test_a_card_in_place_of_a_pool_leads_to_its_pool(text: str, hint: str) -> None:
    """People think in cards: they are told the pool, and how to get that card alone."""
    error = refusal(text)
    assert f"{text} is a card, not a GPU pool" == error.message
    assert hint == error.hint


def test_the_advised_exclusions_are_themselves_a_valid_selection() -> None:
    """What the hint tells people to type is accepted, and leaves just that card."""
    hint = refusal("NVIDIA A40").hint
    assert hint is not None
    advised = GpuSelection.parse(hint.split('"')[1])
    assert (Card("NVIDIA A40", 48),) == advised.cards


def test_a_card_name_of_two_pools_names_both() -> None:
    """`RTX 6000` may be the Ada or the Blackwell card: the person decides."""
    hint = refusal("RTX 6000").hint
    assert hint is not None
    assert ADA_48_PRO in hint
    assert " and in BLACKWELL_96 (RTX PRO 6000 Blackwell Server, " in hint


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "The GPU selection has an empty entry", 'Write it like "AMPERE_16,ADA_24".'),
        ("AMPERE_16,,ADA_24", "The GPU selection has an empty entry", "Write it like"),
        ("ADA_24,", "The GPU selection has an empty entry", "Write it like"),
        ("-NVIDIA A40", "The GPU selection names no pool", "Name at least one to take cards from"),
        ("ADA_24,ada_24", "The GPU selection names ADA_24 twice", "Leave one of them out."),
        (
            "AMPERE_48,-NVIDIA A40,-nvidia a40",
            "The GPU selection names -NVIDIA A40 twice",
            "Leave one of them out.",
        ),
        (
            "AMPERE_48,-NVIDIA A4O",
            "-NVIDIA A4O excludes nothing: no chosen pool has such a card",
            'Did you mean "-NVIDIA A40"? Cards of the chosen pools: NVIDIA A40, NVIDIA RTX A6000',
        ),
        (
            "AMPERE_48,-A6000",
            "-A6000 excludes nothing: no chosen pool has such a card",
            'Did you mean "-NVIDIA RTX A6000"? ',
        ),
        (
            "ADA_24,-NVIDIA A40",
            "-NVIDIA A40 excludes nothing: no chosen pool has such a card",
            "Cards of the chosen pools: NVIDIA GeForce RTX 4090",
        ),
        ("ADA_24,-", "- excludes nothing: no chosen pool has such a card", "Cards of the chosen"),
        (
            "AMPERE_48,-ada_24",
            "ADA_24 is a pool; only single cards can be excluded",
            "Leave the pool out of the selection instead.",
        ),
        (
            "ADA_24,-NVIDIA GeForce RTX 4090",
            "No card is left: every card of ADA_24 is excluded",
            "Leave an exclusion out, or add a pool.",
        ),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(text: str, message: str, hint: str) -> None:
    """GraphQL would accept some of these in silence (API reference 2); we say what is wrong."""
    error = refusal(text)
    assert message == error.message
    assert error.hint is not None
    assert error.hint.startswith(hint)


POOL_IDS = [each.id for each in POOLS]
CARD_IDS = [card.id for each in POOLS for card in each.cards]
ENTRIES = st.one_of(
    st.sampled_from(POOL_IDS + [pool_id.lower() for pool_id in POOL_IDS]),
    st.sampled_from([f"-{card_id}" for card_id in CARD_IDS]),
    st.text(max_size=12),
)


@given(st.one_of(st.text(), st.lists(ENTRIES, max_size=5).map(",".join)))
def test_any_text_is_a_selection_that_survives_its_own_spelling_or_a_usage_error(text: str) -> None:
    """Parsing never fails in another way, and what it accepts is read back as the same."""
    try:
        selection = GpuSelection.parse(text)
    except UsageError:
        return
    assert selection == GpuSelection.parse(selection.to_gpu_ids())
    assert selection == GpuSelection.from_gpu_ids(selection.to_gpu_ids())
    assert selection.cards


def test_what_runpod_sent_is_kept_even_if_unknown() -> None:
    """An endpoint that somebody else made is shown as it is, not refused."""
    selection = GpuSelection.from_gpu_ids("NEW_512, AMPERE_48,-NVIDIA A40,-NVIDIA X1,")
    expected = GpuSelection(("NEW_512", "AMPERE_48"), ("NVIDIA A40", "NVIDIA X1"))
    assert expected == selection
    assert selection.to_gpu_ids() == "NEW_512,AMPERE_48,-NVIDIA A40,-NVIDIA X1"
    assert (Card("NVIDIA RTX A6000", 48),) == selection.cards


def test_an_endpoint_without_gpus_has_an_empty_selection() -> None:
    """CPU endpoints send no `gpuIds`."""
    assert GpuSelection(()) == GpuSelection.from_gpu_ids("")


def test_the_order_of_exclusions_does_not_matter() -> None:
    """Equal selections are equal and hash alike, whatever the order of their exclusions."""
    one = GpuSelection(("AMPERE_16",), ("NVIDIA RTX A4000", "NVIDIA RTX A4500"))
    other = GpuSelection(("AMPERE_16",), ("NVIDIA RTX A4500", "NVIDIA RTX A4000"))
    assert one == other
    assert hash(one) == hash(other)


def test_the_order_of_pools_matters() -> None:
    """Pools are tried in order, so another order is another selection."""
    assert GpuSelection(("ADA_24", "AMPERE_24")) != GpuSelection(("AMPERE_24", "ADA_24"))
    assert GpuSelection(("ADA_24",)) != "ADA_24"


@pytest.mark.parametrize(
    ("gpu_ids", "gpu_count", "expected"),
    [
        ("AMPERE_16,AMPERE_24", 1, 0.00016),
        ("ADA_24,AMPERE_16", 2, 0.00062),
        ("ADA_32_PRO,AMPERE_16", 1, None),
        ("NEW_512", 1, None),
        ("", 1, None),
    ],
)
def test_the_preferred_pool_sets_the_price(
    gpu_ids: str, gpu_count: int, expected: float | None
) -> None:
    """Each card of a worker is billed; an unknown price stays unknown."""
    actual = price_per_s_usd(GpuSelection.from_gpu_ids(gpu_ids), gpu_count)
    assert expected is actual if expected is None else actual == pytest.approx(expected)
