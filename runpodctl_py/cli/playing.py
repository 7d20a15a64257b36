"""Playing a sound file with whatever player this machine has.

Owns which players there are and how they are called.
"""

from __future__ import annotations

import shutil
import subprocess  # the player's own program, by its full path
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_PLAYERS: dict[str, tuple[str, ...]] = {
    "afplay": (),
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error"),
    "mpv": ("--no-video", "--really-quiet"),
    "pw-play": (),
    "paplay": (),
    "play": ("-q",),
    "cvlc": ("--play-and-exit", "--quiet"),
    "aplay": ("-q",),
}
"""In the order in which they are looked for, with what keeps them silent and without a window."""
_WAV_ONLY = frozenset({"aplay"})


@dataclass(frozen=True)
class Player:
    """A program that plays sound files.

    Args:
        program: Its path.
        options: What it is called with, before the file.
    """

    program: str
    options: tuple[str, ...]

    def play(self, path: Path) -> str | None:
        """Play a file to its end; return what went wrong, if anything did."""
        # A file of the person's may be called like an option.
        command = [self.program, *self.options, str(path.absolute())]
        try:
            ended = subprocess.run(  # noqa: S603 # a known player, and a file that we wrote
                command, check=False, stdin=subprocess.DEVNULL, capture_output=True
            )
        except OSError as exc:
            return f"{self.program} cannot be started: {exc.strerror}"
        if ended.returncode == 0:
            return None
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        return f"{self.program} cannot play it: {said[-1] if said else ended.returncode}"


def find_player(audio_format: str) -> Player:
    """Return the first player that is there.

    Raises:
        UsageError: There is none.
    """
    for name, options in _PLAYERS.items():
        program = shutil.which(name)
        if program is not None and (audio_format == "wav" or name not in _WAV_ONLY):
            return Player(program, options)
    raise UsageError(
        f"Nothing here plays {audio_format} files: looked for {', '.join(_PLAYERS)}",
        hint="Install one of them (ffmpeg brings ffplay), or leave out --play.",
    )
