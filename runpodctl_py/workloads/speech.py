"""Speech: from a text and a voice to the input of the Chatterbox worker (workers reference A).

Owns what `speak` means by a voice, and which formats there are. The fields' limits are the
preset's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runpodctl_py.errors import UsageError
from runpodctl_py.workloads.media import as_data_uri, is_remote, read_small_medium

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runpodctl_py.jsontypes import JsonObject, JsonValue

FORMATS = ("wav", "flac", "ogg")
_RECORDINGS = frozenset({".wav", ".mp3", ".flac", ".ogg", ".m4a", ".aac", ".opus", ".webm"})


def speech_input(
    text: str, voice: str | None, audio_format: str | None, manner: Mapping[str, JsonValue]
) -> JsonObject:
    """Return the worker's input, with only what was given.

    Args:
        text: What to say.
        voice: A name, a file, a URL or a data URI.
        audio_format: One of `FORMATS`.
        manner: How to say it: the worker's fields by name, None for what was not given.

    Raises:
        UsageError: There is nothing to say, or no such recording.
    """
    if not text.strip():
        raise UsageError("There is nothing to say: the text is empty")
    fields: JsonObject = {"text": text}
    if voice is not None:
        fields["voice"] = voice_value(voice)
    if audio_format is not None:
        fields["format"] = audio_format
    return fields | {name: value for name, value in manner.items() if value is not None}


def voice_value(voice: str) -> str:
    """Return the worker's `voice` for what a person named.

    A file becomes a data URI; a name stays one, for the worker has voices of its own.

    Raises:
        UsageError: It looks like a file and is none, or is no recording.
    """
    if is_remote(voice):
        return voice
    path = Path(voice)
    if path.is_file():
        advice = f"Ten seconds will do:  ffmpeg -i {path} -t 15 -ac 1 voice.mp3"
        return as_data_uri(read_small_medium(path, "audio", advice))
    if "/" in voice or "\\" in voice or path.suffix.lower() in _RECORDINGS:
        raise UsageError(
            f"There is no file {voice}",
            hint="--voice takes a recording, a URL, or the name of a voice in the worker's image.",
        )
    if not voice.strip():
        raise UsageError("--voice is empty")
    return voice


def format_of(path: Path) -> str:
    """Return the format that a file's name asks for.

    Raises:
        UsageError: The worker does not write such files.
    """
    audio_format = path.suffix.lower().removeprefix(".")
    if audio_format in FORMATS:
        return audio_format
    named = f"not {path.suffix}" if path.suffix else f"and {path.name} does not say which"
    raise UsageError(
        f"Speech is written as {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, {named}",
        hint=f"Name the file {path.with_suffix('.wav').name}; ffmpeg makes anything else of it.",
    )
