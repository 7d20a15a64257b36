from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from runpodctl_py.jobs.ledger import Ledger, State
from runpodctl_py.jobs.ledger.lives import Lives
from tests.unit.jobs.ledger.samples import INTENT, job

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HOLDS_A_JOB = """
import sys
from pathlib import Path
from runpodctl_py.jobs.ledger import Intent, Ledger, Place

ledger = Ledger(Path(sys.argv[1]))
print(ledger.intend(Intent(place=Place("r"), endpoint_id="e", payload={})), flush=True)
sys.stdin.read()
"""


def locks(folder: Path) -> list[str]:
    """List the locks in a folder, if it is there."""
    return sorted(each.name for each in folder.glob("*.lock"))


def test_a_name_is_alive_until_its_end(tmp_path: Path) -> None:
    """Others see it from the moment it is asked for; the next name is another."""
    mine, others = Lives(tmp_path / "lives"), Lives(tmp_path / "lives")
    assert not (tmp_path / "lives").exists()
    name = mine.name
    assert (mine.name, mine.is_alive(name), others.is_alive(name)) == (name, True, True)
    assert locks(tmp_path / "lives") == [f"{name}.lock"]
    mine.end()
    assert (others.is_alive(name), locks(tmp_path / "lives")) == (False, [])
    assert mine.name != name
    mine.end()


def test_nobody_is_dead(tmp_path: Path) -> None:
    """A name without a lock belongs to no process; asking makes no file."""
    assert Lives(tmp_path / "lives").is_alive("0123456789abcdef") is False
    assert not (tmp_path / "lives").exists()


def test_litter_of_the_dead_is_removed(tmp_path: Path) -> None:
    """A lock's file outlives its process; the lock does not."""
    (tmp_path / "0123456789abcdef.lock").touch()
    assert Lives(tmp_path).is_alive("0123456789abcdef") is False
    assert locks(tmp_path) == []


def test_where_nobody_can_tell_nothing_is_taken_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be locked counts as alive."""
    (tmp_path / "0123456789abcdef.lock").mkdir()
    assert Lives(tmp_path).is_alive("0123456789abcdef") is True
    assert caplog.records == []


def test_a_process_that_was_killed_is_dead(tmp_path: Path) -> None:
    """While it lives its job is its own; after SIGKILL anybody may take it."""
    path = tmp_path / "ledger.sqlite3"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_JOB, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    key = child.stdout.readline().strip()
    with Ledger(path) as ledger:
        ledger.settle()
        assert (ledger.claim(key), ledger.record(key).state) == (False, State.SENDING)
        child.kill()
        child.communicate(timeout=60)
        ledger.settle()
        assert (ledger.claim(key), ledger.record(key).state) == (True, State.UNKNOWN)
        assert len(locks(path.with_name("ledger.sqlite3.lives"))) == 1


def test_a_ledger_that_was_closed_lives_on_when_it_is_used(tmp_path: Path) -> None:
    """Under another name: what it had in hand before is no longer its own."""
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    first = ledger.intend(INTENT)
    ledger.sent(first, job())
    ledger.close()
    second = ledger.intend(INTENT)
    with Ledger(ledger.path) as other:
        assert (other.claim(first), other.claim(second)) == (True, False)
    ledger.close()
