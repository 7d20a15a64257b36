"""How a batch that has ended looks: to a person, and to a script."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from runpodctl_py.batch.row import RowResult
from runpodctl_py.batch.tally import Tally
from runpodctl_py.batch.working import Stop
from runpodctl_py.cli.batch_summary import show_summary, summary_document
from runpodctl_py.cli.output import Output
from runpodctl_py.jobs.ledger import KeptFile, State

X = "×"  # noqa: RUF001 - what stands on the screen.


def tally_of(done: int, failures: tuple[str, ...] = (), total: int | None = None) -> Tally:
    """Return the tally of a batch with so many successes, and failures with these messages."""
    tally = Tally(done + len(failures) if total is None else total)
    for number in range(1, done + len(failures) + 1):
        error = failures[number - done - 1] if number > done else None
        tally.take(
            RowResult(
                line=number,
                name=str(number),
                key="k",
                job_id="j",
                state=State.FAILED if error else State.COMPLETED,
                is_success=error is None,
                delay_ms=200,
                execution_ms=900,
                files=(KeptFile(Path("a"), 10, "", "text/plain"),),
                error=error,
            )
        )
    return tally


def said(
    capsys: pytest.CaptureFixture[str],
    tally: Tally,
    stop: Stop | None = Stop.DONE,
    max_cost_usd: float | None = None,
) -> list[str]:
    """Return what is said of a batch that took 10 s."""
    show_summary(
        Output(),
        "b7",
        tally,
        10.0,
        stop=stop,
        directory=Path("out"),
        max_cost_usd=max_cost_usd,
        flags=" --local",
    )
    return capsys.readouterr().err.splitlines()


@pytest.fixture
def _files() -> None:
    """Let there be results."""
    Path("out").mkdir()
    for name in ("results.csv", "results.jsonl"):
        Path("out", name).touch()


@pytest.mark.usefixtures("_files")
def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines, and on stdout where the results are."""
    show_summary(Output(), "b7", tally_of(2000), 52.3, stop=Stop.DONE, directory=Path("out"))

    out, err = capsys.readouterr()
    assert out == "out/results.csv\n"
    assert err.splitlines() == [
        "✓ 2 000 of 2 000 done      out/results.csv · out/results.jsonl",
        "  52 s · p50 0.9 s, p95 0.9 s per job · queue p50 0.2 s, p95 0.2 s · 38.2/s",
    ]


def test_what_went_wrong_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """By kind, the most frequent first, with the rows."""
    tally = tally_of(1, ("worker died", *["prompt is empty\x07"] * 12))
    tally.cost_usd = 0.68

    assert said(capsys, tally) == [
        "✓ 1 of 14 done, 13 failed",
        "  10 s · p50 0.9 s, p95 0.9 s per job · queue p50 0.2 s, p95 0.2 s · 1.4/s · $0.68",
        "  again with the failed ones:  runpodctl-py batch retry b7 --failed --local",
        "",
        f"  12{X} prompt is empty�   rows 3, 4, 5, 6, 7 and 7 more",
        f"   1{X} worker died   row 2",
    ]


def test_five_kinds_are_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is counted; all of it stands in results.csv."""
    lines = said(capsys, tally_of(1, tuple("abcdefg")))

    assert sum(X in line for line in lines) == 5
    assert lines[-1] == "  and 2 more kinds"


@pytest.mark.parametrize(
    ("tally", "line"),
    [
        (tally_of(3, ("no",)), "✓ 3 of 4 done, 1 failed"),
        (tally_of(0, ("no", "no")), "! 0 of 2 done, 2 failed"),
        (Tally(12, invalid=1, succeeded=11), "✓ 11 of 11 done, 1 invalid row left out"),
        (Tally(5, succeeded=5, kept=3), "✓ 5 of 5 done, 3 of them before"),
        (Tally(5, succeeded=5, kept=5), "✓ 5 of 5 done, all of them before"),
        (Tally(2, invalid=2), "✓ 0 of 0 done, 2 invalid rows left out"),
    ],
    ids=["one failed", "all failed", "invalid", "resumed", "nothing to do", "no row"],
)
def test_the_first_line(capsys: pytest.CaptureFixture[str], tally: Tally, line: str) -> None:
    """What came of how many rows; a check mark only if something did."""
    assert said(capsys, tally)[0] == line


def test_one_failed_row_is_no_plural(capsys: pytest.CaptureFixture[str]) -> None:
    """Said as people do."""
    retry = "again with the failed one:  runpodctl-py batch retry b7 --failed --local"
    assert f"  {retry}" in said(capsys, tally_of(3, ("no",)))


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (
            ["118"],
            [
                "  Nobody knows whether RunPod took row 118.",
                "  Send it again, although it may have run, and be billed twice:",
            ],
        ),
        (
            [str(number) for number in range(12)],
            [
                "  Nobody knows whether RunPod took rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more.",
                "  Send them again, although they may have run, and be billed twice:",
            ],
        ),
    ],
)
def test_unknown_rows(
    capsys: pytest.CaptureFixture[str], names: list[str], lines: list[str]
) -> None:
    """They are not sent again by themselves: a person decides, and is told what it may cost."""
    tally = tally_of(2, total=2 + len(names))
    tally.unknown += names

    assert said(capsys, tally)[2:] == [
        "",
        *lines,
        "    runpodctl-py batch retry b7 --unknown --local",
    ]


@pytest.mark.parametrize(
    ("stop", "head", "command"),
    [
        (Stop.LIMIT, "✓ 50 of 200 done", "resume b7 --local"),
        (Stop.CANCELLED, "! 50 of 200 done: cancelled", "resume b7 --local"),
        (None, "! 50 of 200 done: interrupted", "resume b7 --local"),
        (
            Stop.COST,
            "! 50 of 200 done: stopped at what it may cost",
            "resume b7 --max-cost 2.15 --local",
        ),
    ],
)
def test_a_batch_that_stopped_early(
    capsys: pytest.CaptureFixture[str], stop: Stop | None, head: str, command: str
) -> None:
    """What is left, for about how much, and the command that goes on."""
    tally = tally_of(50, total=200)
    tally.cost_usd = 0.5

    lines = said(capsys, tally, stop, max_cost_usd=0.5)

    assert lines[0] == head
    assert lines[1].endswith("$0.50 of $0.50")
    assert lines[2:] == [
        "",
        "  150 rows are left. They will cost about $1.50. Go on:",
        f"    runpodctl-py batch {command}",
    ]


def test_one_row_is_left_whose_price_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    """A cap that stopped before the first row ended cannot be extrapolated."""
    assert said(capsys, Tally(1), Stop.COST, max_cost_usd=0)[2:] == [
        "",
        "  1 row is left. Go on:",
        "    runpodctl-py batch resume b7 --max-cost USD --local",
    ]


def test_jobs_that_go_on_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Their results wait, but not for ever."""
    tally = Tally(10, in_flight=1)
    assert said(capsys, tally, None)[-1] == (
        "  1 job was sent already; RunPod keeps results for 30 minutes."
    )


def test_a_file_that_is_not_there_is_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as results.csv, when there was no time to write it."""
    show_summary(Output(), "b7", Tally(1), 1.0, stop=None, directory=Path("out"))

    out, err = capsys.readouterr()
    assert out == ""
    assert "results" not in err


@pytest.mark.usefixtures("_files")
def test_quiet_leaves_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    """One path, whatever happened."""
    quiet = Output(is_quiet=True)
    show_summary(quiet, "b7", tally_of(0, ("no",)), 1.0, stop=Stop.COST, directory=Path("out"))

    assert capsys.readouterr() == ("out/results.csv\n", "")


@pytest.mark.usefixtures("_files")
def test_json_is_the_callers(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed into its stream."""
    show_summary(Output(as_json=True), "b7", Tally(1), 1.0, stop=Stop.DONE, directory=Path("out"))

    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Tell that it is one."""
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, tally: Tally) -> list[str]:
    """Return what a person sees on a terminal that shows both streams."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    show_summary(Output(), "b7", tally, 52.3, stop=Stop.DONE, directory=Path("out"))
    return screen.getvalue().splitlines()


@pytest.mark.usefixtures("_files")
def test_a_wide_terminal_has_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came of it to the left, what next to the right; the path once."""
    tally = tally_of(1997, ("no", "no", "no"))
    facts = "52 s · p50 0.9 s, p95 0.9 s per job · queue p50 0.2 s, p95 0.2 s · 38.2/s"

    assert on_a_terminal(monkeypatch, 180, tally)[:2] == [
        f"✓ {'1 997 of 2 000 done, 3 failed':<79}out/results.csv · out/results.jsonl",
        f"  {facts}      again with the failed ones:  runpodctl-py batch retry b7 --failed",
    ]


@pytest.mark.usefixtures("_files")
def test_a_usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits beside stays beside; commands are never broken; messages are cut."""
    tally = tally_of(1997, ("画像の生成 " * 20, "no", "no"))

    lines = on_a_terminal(monkeypatch, 80, tally)

    assert lines == [
        "✓ 1 997 of 2 000 done, 3 failed      out/results.csv · out/results.jsonl",
        "  52 s · p50 0.9 s, p95 0.9 s per job · queue p50 0.2 s, p95 0.2 s · 38.2/s",
        "  again with the failed ones:  runpodctl-py batch retry b7 --failed",
        "",
        f"  2{X} no   rows 1999, 2000",
        f"  1{X} {'画像の生成 ' * 5}画像の …   row 1998",
    ]


@pytest.mark.usefixtures("_files")
def test_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in its own line."""
    assert on_a_terminal(monkeypatch, 40, tally_of(20)) == [
        "✓ 20 of 20 done",
        "  out/results.csv · out/results.jsonl",
        "  52 s · p50 0.9 s, p95 0.9 s per job",
        "  queue p50 0.2 s, p95 0.2 s · 22.9/min",
    ]


def test_the_document() -> None:
    """Every key is a promise to scripts."""
    tally = tally_of(3, ("no",), total=10)
    tally.invalid, tally.kept, tally.in_flight = 1, 2, 2
    tally.sent, tally.repeated, tally.limited, tally.cost_usd = 7, 1, 3, 0.1234567
    tally.unknown += ["x", "y"]
    times = {"p50": 900, "p95": 900, "p99": 900}

    document = summary_document("b7", tally, 4.0004, Stop.COST)

    assert json.loads(json.dumps(document)) == {
        "event": "finished",
        "id": "b7",
        "stop": "cost",
        "total": 10,
        "invalid": 1,
        "kept": 2,
        "ended": 4,
        "succeeded": 3,
        "failed": 1,
        "running": 2,
        "unknown": 2,
        "left": 5,
        "sent": 7,
        "repeated": 1,
        "requests": 0,
        "rate_limited": 3,
        "elapsed_s": 4.0,
        "rate_per_s": 0.5,
        "cost_usd": 0.123457,
        "states": {"completed": 3, "failed": 1},
        "delay_ms": {"p50": 200, "p95": 200, "p99": 200},
        "execution_ms": times,
        "total_ms": {"p50": 1100, "p95": 1100, "p99": 1100},
        "files": 4,
        "bytes": 40,
        "troubles": [{"message": "no", "sample": "no", "count": 1, "rows": ["4"]}],
        "other_troubles": 0,
        "unknown_rows": ["x", "y"],
    }


@pytest.mark.parametrize(
    ("stop", "word"),
    [
        (Stop.DONE, "done"),
        (Stop.COST, "cost"),
        (Stop.LIMIT, "limit"),
        (Stop.CANCELLED, "cancelled"),
        (None, "interrupted"),
    ],
)
def test_why_it_stopped_is_one_word(stop: Stop | None, word: str) -> None:
    """The same for ever."""
    assert summary_document("b7", Tally(1), 1.0, stop)["stop"] == word
    assert len(Stop) == 4


def test_what_is_not_known_is_null() -> None:
    """A batch without prices, without times, and without any duration."""
    document = summary_document("b7", Tally(1), 0.0, Stop.DONE)

    assert [document[key] for key in ("cost_usd", "delay_ms", "rate_per_s")] == [None, None, 0.0]
