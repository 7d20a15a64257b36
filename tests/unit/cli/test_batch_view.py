"""How a running batch looks: on terminals, in pipes, to programs."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr
from typing import TYPE_CHECKING

import pyte
import pytest

from runpodctl_py.api.types import Health, JobCounts, WorkerCounts
from runpodctl_py.batch.row import RowResult
from runpodctl_py.batch.tally import Tally
from runpodctl_py.cli.batch_view import BatchView, batch_view
from runpodctl_py.cli.output import Output
from runpodctl_py.jobs.ledger import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUSY = Health(JobCounts(), WorkerCounts(running=12, initializing=2, throttled=1))
X = "×"  # noqa: RUF001 - what stands on the screen.
COLD = Health(JobCounts(), WorkerCounts(initializing=2))


class Over(Exception):  # noqa: N818 - no error: the end of a test's time.
    """The time of a test is over."""


class Time:
    """A clock on which waiting takes no time; it says what second it is, and ends the test."""

    def __init__(self, at: Callable[[float], None] = lambda _: None, end_s: float = 0) -> None:
        self.s = 0.0
        self._at = at
        self._end_s = end_s

    def now_s(self) -> float:
        """Return the time, in seconds."""
        return self.s

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.s += seconds
        if self.s > self._end_s:
            raise Over
        self._at(self.s)


def take(tally: Tally, name: str, error: str | None = None) -> None:
    """Let a row end."""
    tally.take(
        RowResult(
            line=1,
            name=name,
            key="k",
            job_id="j",
            state=State.FAILED if error else State.COMPLETED,
            is_success=error is None,
            error=error,
        )
    )


async def kept(output: Output, tally: Tally, time: Time, limit: int | None = None) -> None:
    """Show a batch until the time is over."""
    with (
        batch_view(output, "b7", tally, clock=time, max_cost_usd=2, limit=limit) as view,
        pytest.raises(Over),
    ):
        await view.keep()


# In a pipe.


@pytest.mark.anyio
async def test_a_pipe_gets_a_line_every_15_s(capsys: pytest.CaptureFixture[str]) -> None:
    """With all the numbers there are; on stdout, nothing."""
    tally = Tally(2000, invalid=10, succeeded=100, kept=100, in_flight=84, health=COLD)

    def at(second: float) -> None:
        if second > 20:
            tally.health = BUSY
            tally.cost_usd += 0.02
            for _ in range(20):
                take(tally, "1")

    await kept(Output(), tally, Time(at, 45))

    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "        0 s   batch b7: 1 990 rows, 100 done before",
        "       15 s   100 of 1 990 done, 0 failed, 84 running, $0.00 of $2.00",
        (
            "       30 s   300 of 1 990 done, 0 failed, 84 running, 20.0/s, 1 min 24 s left, "
            "$0.20 of $2.00"
        ),
        (
            "       45 s   600 of 1 990 done, 0 failed, 84 running, 20.0/s, 1 min 10 s left, "
            "$0.50 of $2.00"
        ),
    ]
    assert out == ""


@pytest.mark.anyio
async def test_a_pipe_is_told_why_nothing_happens(capsys: pytest.CaptureFixture[str]) -> None:
    """As long as no row has ended."""
    await kept(Output(), Tally(2, in_flight=2, health=COLD), Time(end_s=15))

    assert capsys.readouterr().err.splitlines() == [
        "        0 s   batch b7: 2 rows",
        (
            "       15 s   0 of 2 done, 0 failed, 2 running, $0.00 of $2.00, "
            "no worker yet: 2 starting (cold start)"
        ),
    ]


@pytest.mark.anyio
async def test_a_new_kind_of_error_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The first of its kind, and not the hundred after it."""
    tally = Tally(1000, in_flight=5)

    def at(second: float) -> None:
        take(tally, str(second), f"row {second:.0f}: bad size\x1b[2J")
        if second == 7:
            take(tally, "x", "worker died")
            tally.unknown.append("y")

    await kept(Output(), tally, Time(at, 15))

    assert capsys.readouterr().err.splitlines() == [
        "        0 s   batch b7: 1 000 rows",
        "        1 s   error: row 1: bad size�[2J (row 1.0)",
        "        7 s   error: worker died (row x)",
        (
            "       15 s   0 of 1 000 done, 16 failed, 5 running, 1.1/s, 14 min 54 s left, "
            "$0.00 of $2.00, 1 unknown"
        ),
    ]


@pytest.mark.anyio
async def test_a_pipe_is_not_flooded_with_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty of them, however many there are: the rest is told at the end."""
    tally = Tally(1000)

    def at(second: float) -> None:
        for each in range(10):
            take(tally, "r", chr(ord("a") + int(second)) * (each + 1))

    await kept(Output(), tally, Time(at, 14))

    lines = capsys.readouterr().err.splitlines()
    assert sum("error:" in line for line in lines) == 20
    assert lines[-1].endswith("further kinds of errors are not said here")


# To a program.


@pytest.mark.anyio
async def test_a_program_gets_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """How it begins, and every 15 s how it stands; the keys are a promise."""
    tally = Tally(100, invalid=10, kept=5, succeeded=5, in_flight=4, unknown=["a"])

    def at(second: float) -> None:
        tally.cost_usd += 0.01
        take(tally, "r", "no" if second == 3 else None)

    await kept(Output(as_json=True), tally, Time(at, 29), limit=50)

    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [
        {
            "event": "batch",
            "id": "b7",
            "total": 100,
            "invalid": 10,
            "ended": 5,
            "max_cost_usd": 2,
            "limit": 50,
        },
        {
            "event": "progress",
            "id": "b7",
            "elapsed_s": 15,
            "ended": 20,
            "succeeded": 19,
            "failed": 1,
            "running": 4,
            "unknown": 1,
            "left": 70,
            "rate_per_s": 1,
            "eta_s": 54,
            "cost_usd": 0.15,
        },
    ]
    assert err == ""


@pytest.mark.anyio
async def test_json_has_null_for_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    """The keys are always there."""
    await kept(Output(as_json=True), Tally(1), Time(end_s=15))

    progress = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [progress[key] for key in ("rate_per_s", "eta_s", "cost_usd")] == [None] * 3


@pytest.mark.anyio
async def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever happens."""
    tally = Tally(1)
    take(tally, "r", "no")

    await kept(Output(is_quiet=True), tally, Time(end_s=100))

    assert capsys.readouterr() == ("", "")


@pytest.mark.anyio
async def test_a_late_heartbeat_does_not_shift_the_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Lines stay in step with the beginning."""
    time = Time(end_s=1000)
    with batch_view(Output(), "b7", Tally(1), clock=time) as view:
        for second in (14.9, 17, 29.9, 31, 59, 60):
            time.s = second
            view.tick()

    seconds = [line.split()[0] for line in capsys.readouterr().err.splitlines()]
    assert seconds == ["0", "17", "31", "59", "1"]


# On a terminal.


class Terminal(io.StringIO):
    """A terminal of some size, and what a person sees on it."""

    def __init__(self, columns: int, height: int = 24) -> None:
        super().__init__()
        self.columns = columns
        self.height = height

    def isatty(self) -> bool:
        """Tell that it is one."""
        return True

    @property
    def screen(self) -> list[str]:
        """What is on the screen now, without the empty lines at its end."""
        screen = pyte.Screen(self.columns, self.height)
        pyte.Stream(screen).feed(self.getvalue().replace("\n", "\r\n"))
        return "\n".join(line.rstrip() for line in screen.display).rstrip().split("\n")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Terminal]]:
    """Makes terminals, which stderr is until the test ends."""
    monkeypatch.setenv("TERM", "xterm-256color")
    before = sys.stderr

    def make(columns: int, height: int = 24) -> Terminal:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(height))
        it = Terminal(columns, height)
        monkeypatch.setattr(sys, "stderr", it)
        return it

    yield make
    monkeypatch.setattr(sys, "stderr", before)


def begun(tally: Tally, max_cost_usd: float | None = None) -> tuple[BatchView, Time]:
    """Return a view of a batch that will stand still in time."""
    time = Time()
    return batch_view(Output(), "b7", tally, clock=time, max_cost_usd=max_cost_usd), time


def a_busy_batch(terminal: Terminal, max_cost_usd: float | None = None) -> list[str]:
    """Return what is seen of a batch in its middle."""
    tally = Tally(2000, in_flight=84, health=BUSY)
    view, time = begun(tally, max_cost_usd)
    with view:
        for second in range(31):
            time.s = second
            tally.succeeded = 40 * second
            view.tick()
        for row, error in (
            ("118", "ValueError: prompt is empty"),
            ("977", "ValueError: prompt is empty"),
            ("1031", "worker died (retried once)"),
        ):
            take(tally, row, error)
        tally.cost_usd = 0.41
        time.s = 30.1
        view.tick()
        return terminal.screen


def test_a_wide_terminal(terminal: Callable[..., Terminal]) -> None:
    """All numbers beside the bar, the workers, the errors by kind."""
    assert a_busy_batch(terminal(120)) == [
        (
            "  ━━━━━━━━━━━━━━━━━╺━━━━━━━━━━━   1 203 of 2 000   84 running   3 failed   39.9/s"
            "   20 s left   $0.41"
        ),
        "  workers  12 running · 2 starting · 1 throttled",
        "",
        f"  errors   2{X} ValueError: prompt is empty   rows 118, 977",
        f"           1{X} worker died (retried once)    row 1031",
    ]


def test_a_usual_terminal(terminal: Callable[..., Terminal]) -> None:
    """The numbers have a line of their own."""
    assert a_busy_batch(terminal(80), 2)[:3] == [
        "  ━━━━━━━━━━━━━━━━━━╺━━━━━━━━━━━   1 203 of 2 000",
        "  84 running   3 failed   39.9/s   20 s left   $0.41 of $2.00",
        "  workers  12 running · 2 starting · 1 throttled",
    ]


def test_a_narrow_terminal(terminal: Callable[..., Terminal]) -> None:
    """Lines are cut or broken where they may be, and nothing wraps."""
    assert a_busy_batch(terminal(40)) == [
        "  ━━━━━━━━━━━━╺━━━━━━━   1 203 of 2 000",
        "  84 running   3 failed   39.9/s",
        "  20 s left   $0.41",
        "  workers  12 running · 2 starting",
        "           1 throttled",
        "",
        f"  errors   2{X} ValueError: prompt is em…",
        f"           1{X} worker died (retried onc…",
    ]


@pytest.mark.parametrize("columns", [12, 20, 30, 40, 59, 60, 80, 99, 100, 101, 120, 200])
def test_no_line_wraps(terminal: Callable[..., Terminal], columns: int) -> None:
    """However long what is said is, the last column stays empty."""
    it = terminal(columns, 50)
    tally = Tally(100_000, in_flight=1000, health=BUSY, cost_usd=1234.5)
    for number in range(30):
        take(tally, f"row-{number}" * 9, f"{'abcde'[number % 5] * 3} 画像の生成に失敗しました " * 9)
    tally.unknown += ["an unknown row", "and\none\x1b[2J more"] * 5
    view, _ = begun(tally, 5000)
    with view:
        drawn, screen = it.getvalue(), it.screen

    assert len(screen) == drawn.count("\n")
    assert all(len(line) < columns for line in screen)
    assert "\x1b[2J" not in drawn


@pytest.mark.parametrize("height", [1, 2, 3, 5, 24])
def test_a_low_terminal_is_not_scrolled(terminal: Callable[..., Terminal], height: int) -> None:
    """What does not fit is left out from below, and nothing stays behind."""
    it = terminal(80, height)
    tally = Tally(10, health=BUSY)
    for number in range(5):
        take(tally, str(number), "abcdefgh"[number] * 3)
    view, _ = begun(tally)
    with view:
        for _ in range(3):
            view.tick()
        during = it.screen

    assert len(during) <= height
    assert "5 of 10" in it.getvalue()
    assert it.screen == [""]


def test_more_kinds_and_unknown_rows(terminal: Callable[..., Terminal]) -> None:
    """Three kinds are shown; rows of which nobody knows are not forgotten."""
    it = terminal(80)
    tally = Tally(10, unknown=["5", "7", "9"])
    for number in range(5):
        take(tally, str(number), "abcde"[number] * 3)
    view, _ = begun(tally)
    with view:
        assert it.screen[-5:] == [
            f"  errors   1{X} eee   row 4",
            f"           1{X} ddd   row 3",
            f"           1{X} ccc   row 2",
            "           and 2 more kinds",
            "  unknown  whether RunPod took rows 5, 7 and 1 more",
        ]


def test_the_beginning(terminal: Callable[..., Terminal]) -> None:
    """No rate, no time left, no cost: nothing is known; rows of before are in the bar."""
    it = terminal(80)
    view, _ = begun(Tally(2000, kept=1000, succeeded=1000, in_flight=3, health=COLD))
    with view:
        assert it.screen == [
            "  ━━━━━━━━━━━━━━━╺━━━━━━━━━━━━━━   1 000 of 2 000",
            "  3 running",
            "  workers  no worker yet: 2 starting (cold start)",
        ]


def test_nothing_to_do(terminal: Callable[..., Terminal]) -> None:
    """No rows at all are no reason to divide by their number."""
    it = terminal(80)
    view, _ = begun(Tally(3, invalid=3))
    with view:
        assert it.screen[0].endswith("0 of 0")


@pytest.mark.parametrize("columns", [20, 40, 80, 140])
def test_nothing_stays_behind(terminal: Callable[..., Terminal], columns: int) -> None:
    """What comes next comes where the bar was, even after the ^C that terminals echo."""
    it = terminal(columns)
    it.write("$ runpodctl-py …\n")
    tally = Tally(10, health=BUSY)
    view, _ = begun(tally)

    def interrupted() -> None:
        with view:
            take(tally, "1", "no")
            view.tick()
            it.write("^C")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert it.screen == ["$ runpodctl-py …"]
    view.tick()
    assert it.screen == ["$ runpodctl-py …"]
    assert it.getvalue().rindex("\x1b[?25h") > it.getvalue().rindex("\x1b[?25l")


def test_words_go_above_the_bar(terminal: Callable[..., Terminal]) -> None:
    """Something to be said meanwhile does not tear it."""
    it = terminal(80)
    view, _ = begun(Tally(10))
    with view:
        Output().warn("Too fast")
        view.tick()
        assert it.screen[0] == "! Too fast"
        assert it.screen[1].endswith("0 of 10")
    assert it.screen == ["! Too fast"]


def test_data_stays_on_stdout(
    terminal: Callable[..., Terminal], capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe does not break because of the bar."""
    it = terminal(80)
    view, _ = begun(Tally(10))
    with view:
        Output().result("data")

    assert capsys.readouterr().out == "data\n"
    assert "data" not in it.getvalue()


class BrokenTerminal(Terminal):
    """A terminal whose window somebody closes."""

    is_broken = False

    def write(self, text: str) -> int:
        """Fail, once it is closed."""
        if self.is_broken:
            raise OSError(5, "Input/output error")
        return super().write(text)


def test_a_terminal_that_is_gone_does_not_end_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on, unseen."""
    monkeypatch.setenv("TERM", "xterm")
    it = BrokenTerminal(80)
    with redirect_stderr(it):
        view, _ = begun(Tally(10))
        with view:
            it.is_broken = True
            view.tick()
        assert sys.stderr is it


@pytest.mark.anyio
async def test_a_terminal_is_drawn_at_most_four_times_a_second(
    terminal: Callable[..., Terminal],
) -> None:
    """A batch of thousands runs beside it."""
    it = terminal(80)

    await kept(Output(), Tally(10), Time(end_s=10))

    assert 10 <= it.getvalue().count("0 of 10") <= 42
