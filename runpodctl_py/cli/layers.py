"""`layers`: a picture becomes transparent layers, by the Qwen-Image-Layered worker.

Owns the options and the page to look at. What the worker takes is `workloads/layering.py`'s.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.browsing import open_page
from runpodctl_py.cli.context import opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.output import is_terminal
from runpodctl_py.cli.payload import read_settings
from runpodctl_py.errors import SaveError, UsageError
from runpodctl_py.presets import loading

if TYPE_CHECKING:
    from runpodctl_py.cli.context import Context
    from runpodctl_py.jobs.collect import Summary

app = App()

_PRESET = "qwen"


class Package(StrEnum):
    """How all layers can be had in one file."""

    PSD = "psd"
    ZIP = "zip"


@app.command()
def layers(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The picture: a file or a URL.")],
    *,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            "-o",
            metavar="DIR",
            help="Where the layers go. Default: a folder named after the picture, in ./outputs",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--layers", "-n", help="How many, 2 to 10; 4 by default.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", help="What the picture shows; without it, the model looks first."),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", metavar="640|1024", help="The layers' size; 640 by default."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="More take longer; 50 by default.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed gives the same layers again.")
    ] = None,
    package: Annotated[
        Package | None, typer.Option("--package", help="All layers in one file instead of PNGs.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="KEY=VALUE", help="Any other field of the worker. Repeatable."
        ),
    ] = None,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Write a page to look at, and open it at a terminal."),
    ] = False,
    endpoint: options.EndpointId = None,
    sending: options.Sending,
    bucket: options.Bucket,
    waiting: options.Waiting,
    common: options.Common,
) -> None:
    """Take a picture apart into transparent layers: numbered PNGs, the bottom one first.

    Examples:
      runpodctl-py layers poster.png
      runpodctl-py layers poster.png --layers 6 --resolution 1024 -o poster --preview
      runpodctl-py layers poster.png --package psd
      runpodctl-py layers poster.png --local

    The endpoint is --endpoint, or the one that setup-qwen made. With --local, a stand-in parts
    the picture by its lightness, which is for trying everything else.
    """
    from runpodctl_py.workloads.layering import layering_input, stem_of

    if preview and package is not None:
        raise UsageError("--preview shows PNGs; with --package there are none")
    if preview and sending.detach:
        raise UsageError("--preview and --detach exclude each other")
    preset = loading.load(_PRESET)
    wanted = {
        "layers": count,
        "prompt": prompt,
        "resolution": resolution,
        "num_inference_steps": steps,
        "seed": seed,
        "package": None if package is None else package.value,
    }
    stem = stem_of(image)
    payload = layering_input(image, wanted) | read_settings(setting or [], preset)
    preset.check_input(payload)
    # Not before: a usage error should not have to wait for the HTTP client to be loaded.
    from runpodctl_py.cli.sending import Order, send
    from runpodctl_py.cli.wish import Wish
    from runpodctl_py.jobs.naming import safe_name

    with opened(common, is_quiet=waiting.quiet) as context:
        folder = output_dir or context.settings.output_folder / safe_name(f"{stem}-layers")
        order = Order(
            payload=payload,
            preset=preset,
            endpoint=endpoint,
            wish=replace(
                Wish.while_waiting(waiting, preset.name), output_dir=folder, expects_files=True
            ),
            sending=sending,
            bucket=bucket,
        )
        summary = run(send(context, order))
        if preview and summary is not None:
            _preview(context, summary, folder, stem)


def _preview(context: Context, summary: Summary, folder: Path, title: str) -> None:
    """Write the page, and open it where somebody looks."""
    from runpodctl_py.jobs.outputs import InlineFile
    from runpodctl_py.jobs.save import save_files
    from runpodctl_py.workloads.contact_sheet import contact_sheet

    pictures = [each.path.name for each in summary.files if each.content_type == "image/png"]
    if not pictures:
        context.output.warn("There are no PNGs to look at")
        return
    sheet = InlineFile("preview.html", "", contact_sheet(title, pictures).encode())
    report = run(save_files([sheet], folder, label="preview"))
    if report.problems:
        raise SaveError("\n".join(report.problems))
    (page,) = report.files
    if context.output.as_json:
        context.output.event({"event": "preview", "path": str(page.path)})
        return
    context.output.result(str(page.path))
    if is_terminal(sys.stderr) and is_terminal(sys.stdout):
        open_page(page.path)
