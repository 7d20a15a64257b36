"""Finding a preset: one of ours by its name, or a person's own file by its path.

Owns where presets are kept and how their files are opened; what they say is read in `parsing`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runpodctl_py.errors import UsageError
from runpodctl_py.presets.parsing import parse_preset

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from runpodctl_py.presets.model import Preset

_SUFFIX: Final = ".toml"
_SEPARATORS: Final = tuple(filter(None, ("/", os.sep, os.altsep)))


def names() -> tuple[str, ...]:
    """Name the presets that come with this package, in alphabetical order."""
    files = (entry.name for entry in _bundled().iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)))


def load(name_or_path: str) -> Preset:
    """Read a preset.

    Args:
        name_or_path: A bundled preset's name, or a TOML file's path: whatever contains a
            separator or ends in `.toml` is a path.

    Raises:
        UsageError: If there is no such preset or file, or if its file is wrong.
    """
    if name_or_path.endswith(_SUFFIX) or any(mark in name_or_path for mark in _SEPARATORS):
        return _load_file(Path(name_or_path), name_or_path)
    if name_or_path not in names():
        raise _unknown_preset(name_or_path)
    filename = name_or_path + _SUFFIX
    return _load_file(_bundled() / filename, filename)


def _bundled() -> Traversable:
    from importlib.resources import files

    return files("runpodctl_py.presets")


def _load_file(file: Traversable, source: str) -> Preset:
    import tomllib

    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from error
    except ValueError as error:  # Wrong TOML and wrong UTF-8 alike.
        raise UsageError(f"{source} is no TOML file: {error}") from error
    return parse_preset(document, source)


def _unknown_preset(name: str) -> UsageError:
    from difflib import get_close_matches

    known = names()
    nearest = get_close_matches(name.lower(), known, n=1)
    suggestion = f"; did you mean {nearest[0]}?" if nearest else ""
    return UsageError(
        f"There is no preset {name}{suggestion}",
        hint=f"Presets: {', '.join(known)}; or the path of your own, ending in {_SUFFIX}",
    )
