"""How lines of the local RunPod's logs look."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.cli.log_view import LogView, Wanted
from runpodctl_py.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TIME = "2026-11-21T10:50:00.123456Z"
CLOCK = f"{datetime(2026, 11, 21, 10, 50, tzinfo=UTC).astimezone():%H:%M:%S}"


def sdk(job_id: str | None, text: str) -> str:
    """Returns what the SDK's logger prints."""
    return json.dumps({"requestId": job_id, "message": text, "level": "WARN"})


@pytest.fixture
def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Shows logs with some lines of two workers and of the emulator."""
    folder = tmp_path / "logs" / "e1"
    folder.mkdir(parents=True)
    (tmp_path / "emulator.log").write_text("started\n")
    texts = (sdk("j1", "Started.\nfor good"), "10%\r20%\r", sdk(None, "idle"))
    (folder / "w1.log").write_text("".join(f"{TIME} {each}\n" for each in texts))
    (folder / "w2.log").write_text(f"{TIME} {sdk('j2', 'Started.')}\n{TIME} unfinished")

    def show(*, as_json: bool = False, is_last: bool = True, **wanted: Any) -> str:
        LogView(Output(as_json=as_json), tmp_path, Wanted(**wanted)).print_new(is_last=is_last)
        return capsys.readouterr().out

    return show


def test_the_sdks_lines_are_shown_as_text(shown: Callable[..., str]) -> None:
    """With their level and job; of a progress bar only its last state."""
    assert shown(worker_id="w1").splitlines() == [
        f"w1               {CLOCK}  WARN   j1  Started.",
        f"w1               {CLOCK}  WARN   j1  for good",
        f"w1               {CLOCK}  20%",
        f"w1               {CLOCK}  WARN   idle",
    ]


def test_a_job_has_its_own_lines(shown: Callable[..., str]) -> None:
    """Of all workers; its id need not be repeated."""
    assert shown(job_id="j2").splitlines() == [
        f"w2               {CLOCK}  WARN   Started.",
        f"w2               {CLOCK}  unfinished",
    ]


def test_without_a_wish_everything_is_shown(shown: Callable[..., str]) -> None:
    """The emulator's own lines first; a line that is still being written waits if asked to."""
    lines = shown(is_last=False).splitlines()
    assert lines[0] == "local            started"
    assert len(lines) == 6
    assert not [each for each in lines if "unfinished" in each]
    assert shown(endpoint_id="e2") == ""


def test_a_jobs_lines_go_on_in_the_next_file(
    tmp_path: Path, shown: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also what its handler prints there, without the job's id."""
    path = tmp_path / "logs" / "e1" / "w2.log"
    view = LogView(Output(), tmp_path, Wanted(job_id="j2"))
    view.print_new(is_last=False)
    with path.open("a") as log:
        log.write(" no more\n")
    path.replace(path.with_name("w2.1.log"))
    path.write_text(f"{TIME} printed\n")
    view.print_new(is_last=False)
    lines = [
        f"w2               {CLOCK}  WARN   Started.",
        f"w2               {CLOCK}  unfinished no more",
        f"w2               {CLOCK}  printed",
    ]
    assert capsys.readouterr().out.splitlines() == lines
    assert shown(job_id="j2").splitlines() == lines


def test_json_has_the_line_as_it_is(shown: Callable[..., str]) -> None:
    """Beside what it means."""
    first, second, _ = map(json.loads, shown(as_json=True, worker_id="w1").splitlines())
    assert first == {
        "source": "w1",
        "time": TIME,
        "line": sdk("j1", "Started.\nfor good"),
        "level": "WARN",
        "job_id": "j1",
    }
    assert (second["line"], second["level"], second["job_id"]) == ("10%\r20%\r", None, None)
