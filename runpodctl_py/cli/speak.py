"""`speak`: a text becomes a sound file, by the Chatterbox worker.

Owns the options and where the file goes. What the worker takes is `workloads/speech.py`'s.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.payload import read_settings, read_text
from runpodctl_py.errors import UsageError
from runpodctl_py.presets import loading

if TYPE_CHECKING:
    from runpodctl_py.cli.wish import Wish

app = App()

_PRESET = "chatterbox"


@app.command()
def speak(
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT|@FILE|-", help="What to say; @FILE reads it from a file, - from stdin."
        ),
    ] = None,
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR",
            help="The file to write: .wav, .flac or .ogg; or a folder. Default: ./outputs",
        ),
    ] = None,
    voice: Annotated[
        str | None,
        typer.Option(
            "--voice",
            metavar="NAME|FILE|URL",
            help="A recording, or a voice of the worker's.",
        ),
    ] = None,
    exaggeration: Annotated[
        float | None,
        typer.Option("--exaggeration", help="How expressive, 0.25 to 2; 0.5 is neutral."),
    ] = None,
    cfg_weight: Annotated[
        float | None,
        typer.Option("--cfg-weight", help="How closely to keep the voice's pace, 0 to 1."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="How much to vary, 0.05 to 5.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed speaks the same way again.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language", metavar="CODE", help="fr, de, zh …: with --variant multilingual."
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option("--variant", help="Which model: english, multilingual or turbo."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="KEY=VALUE", help="Any other field of the worker. Repeatable."
        ),
    ] = None,
    play: Annotated[bool, typer.Option("--play", help="Play the file when it is there.")] = False,
    endpoint: options.EndpointId = None,
    sending: options.Sending,
    bucket: options.Bucket,
    waiting: options.Waiting,
    common: options.Common,
) -> None:
    """Speak a text: send it to a Chatterbox endpoint and save the sound file.

    Examples:
      runpodctl-py speak "Hello there" -o hello.wav --play
      runpodctl-py speak @letter.txt --voice me.wav -o letter.ogg
      fortune | runpodctl-py speak - --exaggeration 0.8 --cfg-weight 0.3
      runpodctl-py speak "Hello there" --local

    The endpoint is --endpoint, or the one that setup-chatterbox made. With --local, a stand-in
    hums instead of speaking, which is for trying everything else.
    """
    from runpodctl_py.cli.playing import find_player
    from runpodctl_py.workloads.speech import format_of, speech_input

    preset = loading.load(_PRESET)
    folder, name = _destination(output)
    if play and sending.detach:
        raise UsageError("--play and --detach exclude each other")
    manner = {
        "exaggeration": exaggeration,
        "cfg_weight": cfg_weight,
        "temperature": temperature,
        "seed": seed,
        "language": language,
        "variant": variant,
    }
    audio_format = None if name is None else format_of(name)
    payload = speech_input(_text(text), voice, audio_format, manner)
    payload |= read_settings(setting or [], preset)
    preset.check_input(payload)
    if name is not None and payload["format"] != audio_format:
        raise UsageError(f"--set format={payload['format']} and -o {name} contradict each other")
    player = find_player(str(payload.get("format", "wav"))) if play else None
    # Not before: a usage error should not have to wait for the HTTP client to be loaded.
    from runpodctl_py.cli.sending import Order, send
    from runpodctl_py.cli.wish import Wish

    wish: Wish = replace(
        Wish.while_waiting(waiting, preset.name),
        output_dir=folder,
        output_name=None if name is None else name.stem,
        expects_files=True,
    )
    order = Order(
        payload=payload,
        preset=preset,
        endpoint=endpoint,
        wish=wish,
        sending=sending,
        bucket=bucket,
    )
    with opened(common, is_quiet=waiting.quiet) as context:
        summary = run(send(context, order))
        if player is not None and summary is not None:
            for file in summary.files:
                if trouble := player.play(file.path):
                    context.output.warn(trouble)


def _text(given: str | None) -> str:
    """Return what is to be said, from wherever it comes."""
    if given is None:
        raise UsageError(
            "There is nothing to say",
            hint='Say it:  runpodctl-py speak "Hello there"\n'
            "Or from a file with @FILE, or from stdin with -",
        )
    if given == "-":
        return read_text("-")
    return read_text(given[1:]) if given.startswith("@") else given


def _destination(output: str | None) -> tuple[Path | None, Path | None]:
    """Return the folder and the file's name that `-o` means; None where it leaves it open.

    Raises:
        UsageError: Something has that name already, or nothing should have it.
    """
    from runpodctl_py.jobs.naming import safe_name

    if output is None:
        return None, None
    if output == "-":
        raise UsageError(
            "-o takes a file or a folder: sound is not written to stdout", hint="Name a file."
        )
    path = Path(output)
    if path.is_dir() or output.endswith(("/", "\\")):
        return path, None
    if path.exists() or path.is_symlink():
        raise UsageError(
            f"{path} exists, and is not overwritten", hint="Take another name, or remove it."
        )
    if (safe := safe_name(path.stem + path.suffix.lower())) != path.name:
        raise UsageError(
            f"{path.name} is no good name for the file",
            hint=f"Take {safe}: some systems cannot have others, and endings are in small letters.",
        )
    return path.parent, Path(path.name)
