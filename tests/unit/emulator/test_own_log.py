"""What an emulator in the foreground leaves in its log."""

from __future__ import annotations

import logging
import resource
from typing import TYPE_CHECKING

from runpodctl_py.emulator import own_log

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_log = logging.getLogger("runpodctl_py.emulator.anything")


def test_what_is_logged_is_kept(tmp_path: Path) -> None:
    """Beside the screen, and not beyond the emulator's end; what the one before said stays."""
    for said in ("first", "second", "third"):
        with own_log.kept(tmp_path):
            _log.warning("the %s one", said)
        _log.warning("nobody's")
    assert own_log.path_in(tmp_path).read_text() == "the third one\n"
    assert (tmp_path / "emulator.1.log").read_text() == "the second one\n"


def test_one_that_said_nothing_leaves_the_former_log(tmp_path: Path) -> None:
    """An empty log takes nobody's place."""
    with own_log.kept(tmp_path):
        _log.warning("crashed")
    for _ in range(3):
        with own_log.kept(tmp_path):
            pass
    assert (tmp_path / "emulator.1.log").read_text() == "crashed\n"


def test_a_full_disk_stops_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What there is no room for is on the screen only; nothing is said of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with own_log.kept(tmp_path):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            _log.warning("lost")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "Logging error" not in capsys.readouterr().err
