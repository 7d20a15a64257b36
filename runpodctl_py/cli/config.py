"""`config show`: every setting, and where it came from."""

from __future__ import annotations

from runpodctl_py import settings as settings_module
from runpodctl_py.cli import options
from runpodctl_py.cli.context import opened
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.output import Column

app = App(no_args_is_help=True)


@app.callback()
def config() -> None:
    """Show every setting and where it came from."""


@app.command()
def show(
    *,
    common: options.Common,
) -> None:
    """Print each setting's value and origin; secrets are masked.

    The order: flag, environment, the nearest .env (searched upwards), user file, default.

    Examples:
      runpodctl-py config show
      runpodctl-py config show --json
    """
    from runpodctl_py.presets import loading

    with opened(common) as context:
        keys = [loading.load(name).env_key for name in loading.names()]
        found = [context.settings.setting(name) for name in (*settings_module.NAMES, *keys)]
    context.output.table(
        [Column("setting"), Column("value"), Column("from")],
        [(s.name, s.shown or "-", str(s.source or "not set")) for s in found],
        [
            {"name": s.name, "value": s.shown, "origin": str(s.source) if s.source else None}
            for s in found
        ],
    )
