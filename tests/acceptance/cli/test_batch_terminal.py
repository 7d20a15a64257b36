"""A batch at a real pseudo-terminal: a bar with numbers, which leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.acceptance.cli.batch_scene import batch_run, resting, set_to_work, write_rows
from tests.acceptance.cli.person import CTRL_C, Person

if TYPE_CHECKING:
    from tests.acceptance.cli.ledger_scene import LedgerScene


def test_the_bar_gives_way_to_the_numbers(scene: LedgerScene, user: Person) -> None:
    """How many are done and running; in the end, what came of it and where it is."""
    write_rows(3)
    there = resting(scene.server, "seen")
    with user.at_terminal(*batch_run(scene, there)) as terminal:
        drawn = terminal.until(lambda screen: "0 of 3" in screen and "3 running" in screen)
        assert "workers" in drawn
        set_to_work(scene.server, there)
        assert (terminal.until_end(), terminal.is_usable) == (0, True)
        lines = [line for screen in terminal.screens for line in screen.splitlines()]
        assert 0 < max(len(line) for line in lines if "━" in line) < terminal.screen.columns
        _, end = terminal.text.split("✓ ")
        words = " ".join(line.strip() for line in end.splitlines())
        assert (words[:11], "━" in terminal.text) == ("3 of 3 done", False)
        assert "out/results.csv · out/results.jsonl" in words
        assert re.search(r"p50 \d+\.\d s, p95 \d+\.\d s per job", words)


def test_ctrl_c_leaves_the_screen_as_it_should_be(scene: LedgerScene, user: Person) -> None:
    """What was drawn is gone; how to go on is there."""
    write_rows(3)
    there = resting(scene.server, "left-on-screen")
    with user.at_terminal(*batch_run(scene, there), columns=100) as terminal:
        terminal.until_text("3 running")
        terminal.type(CTRL_C)
        assert (terminal.until_end(), terminal.is_usable) == (130, True)
        begin, _, first, *rest = terminal.text.splitlines()
    batch_id = scene.records()[0].intent.batch_id
    assert f"batch {batch_id}" in begin
    assert first.startswith("! 0 of 3 done: interrupted")
    assert "  3 rows are left. Go on:" in rest
    assert f"    runpodctl-py batch resume {batch_id}" in rest
    assert "  3 jobs were sent already; RunPod keeps results for 30 minutes." in rest


def test_a_pipe_gets_the_path_while_the_terminal_gets_the_bar(
    scene: LedgerScene, user: Person
) -> None:
    """`$(runpodctl-py batch run …)`: stdout holds only the path of the table."""
    write_rows(2)
    script = 'said=$("$@"); echo "[$said]" > captured'
    under = ("sh", "-c", script, "sh")
    with user.at_terminal(*batch_run(scene, scene.quick), under=under) as terminal:
        terminal.until_end()
        assert any("━" in screen for screen in terminal.screens)
        assert "✓ 2 of 2 done" in terminal.text
    assert Path("captured").read_text() == "[out/results.csv]\n"
