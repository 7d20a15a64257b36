"""`local time` and `local reset`, as somebody at the command line uses them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli.person import Person

if TYPE_CHECKING:
    from collections.abc import Iterator

TASK = ("submit", "--task", "text_processing", "--local")
SECOND_S = 1.0


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Person]:
    """Somebody with a local RunPod whose workers need a minute for a job."""
    person = Person(Path.cwd(), {"RUNPODCTL_LOCAL_DIR": str(tmp_path / "data")})
    up = person.run("local", "up", "--detach", "--simulate", "delay=60", "--seed", "7")
    assert up.code == 0, up.stderr
    yield person
    person.run("local", "down")


def test_a_result_expires_while_we_look_on(newcomer: Person) -> None:
    """A minute of work and half an hour of retention take as long as six commands."""
    frozen = newcomer.run("local", "time", "freeze")
    assert (frozen.code, frozen.stdout) == (0, "")
    assert frozen.stderr.startswith("✓ Time stands still at 20")
    assert "Time stands still, " in newcomer.run("local", "status").stderr
    sent = newcomer.run(*TASK, "--detach", "--json").events[0]
    where = ("status", sent["id"], "--endpoint", sent["endpoint_id"], "--local")
    passed = newcomer.run("local", "time", "advance", "1m")
    assert passed.stderr.startswith("✓ 1 min 0 s passed: it is 20")
    done = newcomer.run(*where)
    assert (done.code, done.document["status"]) == (0, "COMPLETED")
    shown = newcomer.run("local", "time", "--json").document
    assert (shown["frozen"], shown["ahead"] <= 60) == (True, True)
    gone_on = newcomer.run("local", "time", "advance", "30m", "--json").document
    assert gone_on["now"] == pytest.approx(shown["now"] + 1800, abs=SECOND_S)
    expired = newcomer.run(*where, "--json")
    assert (expired.code, expired.error["error"]) == (3, "not_found")
    for command in (("status", sent["id"], "-e", "x", "--local"), ("local", "exec", "--", "true")):
        # The one that the last command has started may still be leaving.
        newcomer.run("local", "down")
        assert "Time stands still, " in newcomer.run(*command).stderr
    newcomer.run("local", "down")
    again = newcomer.run("local", "up", "--detach", "--simulate", "delay=60", "--seed", "7")
    assert "Time stands still, " in again.stderr
    ran = newcomer.run("local", "time", "run", "--json").document
    assert (ran["frozen"], ran["ahead"] > 0) == (False, True)


def test_a_reset_asks_first(newcomer: Person) -> None:
    """With what would be lost; the same seed then makes the same ids again."""
    first = newcomer.run(*TASK, "--detach", "--json").events[0]["id"]
    refused = newcomer.run("local", "reset", "--json")
    assert (refused.code, refused.error["error"]) == (5, "confirmation_needed")
    for keys, code in ((b"n\r", 5), (b"y\r", 0)):
        with newcomer.at_terminal("local", "reset", columns=120) as terminal:
            terminal.until_text("Delete endpoint test with all jobs, and everything else")
            terminal.type(keys)
            assert terminal.until_end() == code
    assert terminal.text.splitlines()[-1] == "✓ The local RunPod is empty"
    assert newcomer.run("local", "status").document["endpoints"] == []
    assert newcomer.run(*TASK, "--detach", "--json").events[0]["id"] == first
    again = newcomer.run("local", "reset", "--yes", "--json")
    assert (again.code, again.document) == (0, {"reset": True})


def test_what_cannot_be_done_is_said(newcomer: Person) -> None:
    """A duration that is none, a leap too far, and no local RunPod to be told."""
    wrong = newcomer.run("local", "time", "advance", "soon")
    assert wrong.code == 2
    assert "'soon' is no duration: write numbers with ms, s, m, h or d" in wrong.stderr
    far = newcomer.run("local", "time", "advance", "99999d")
    assert (far.code, "time goes on until the year 2100" in far.stderr) == (1, True)
    newcomer.run("local", "down")
    for command in (("time",), ("time", "freeze"), ("reset", "--yes")):
        said = newcomer.run("local", *command)
        assert (said.code, "local up --detach" in said.stderr) == (3, True)
