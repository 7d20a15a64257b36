"""`gpus`: the pools to choose from."""

from __future__ import annotations

from runpodctl_py.cli import options
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.output import Column, Output
from runpodctl_py.gpus import POOLS

app = App()


@app.command()
def gpus(*, as_json: options.Json = False) -> None:
    """List the GPU pools: cards, memory, price per second and per hour, and per worker.

    Examples:
      runpodctl-py gpus
      runpodctl-py setup-test --gpu AMPERE_24,ADA_24
      runpodctl-py setup-test --gpu 'AMPERE_48,-NVIDIA A40'
    """
    rows = [
        (
            pool.id,
            f"{pool.vram_gb} GB",
            "-" if pool.price_per_s_usd is None else f"${pool.price_per_s_usd:.5f}",
            "-" if pool.price_per_h_usd is None else f"${pool.price_per_h_usd:.2f}",
            ", ".join(card.short_name for card in pool.cards),
        )
        for pool in POOLS
    ]
    Output(as_json=as_json).table(
        [
            Column("pool"),
            Column("memory", is_number=True),
            Column("per second", is_number=True),
            Column("per hour", is_number=True),
            Column("cards"),
        ],
        rows,
        [
            {
                "id": pool.id,
                "vram_gb": pool.vram_gb,
                "price_per_s_usd": pool.price_per_s_usd,
                "price_per_h_usd": pool.price_per_h_usd and round(pool.price_per_h_usd, 6),
                "cards": [{"id": card.id, "vram_gb": card.vram_gb} for card in pool.cards],
            }
            for pool in POOLS
        ],
    )
