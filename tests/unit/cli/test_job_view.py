from __future__ import annotations

import io
import json
from contextlib import redirect_stderr

import pyte
import pytest

from runpodctl_py.api.types import Health, Job, JobCounts, JobStatus, WorkerCounts
from runpodctl_py.cli.job_view import (
    HEARTBEAT_S,
    JobView,
    JsonJobView,
    Place,
    PlainJobView,
    TerminalJobView,
    file_line,
    job_view,
    progress_text,
    workers_text,
)
from runpodctl_py.cli.output import Output
from runpodctl_py.jobs.follow import (
    Event,
    Finished,
    Progressed,
    Queued,
    Started,
    Unchanged,
)
from runpodctl_py.jobs.progress import Progress

JOB_ID = "5e0ae067-1111-2222-3333-444455556666-u1"
JOB = Job("j-u1", JobStatus.IN_PROGRESS, delay_ms=824, worker_id="w")
DONE = Job("j-u1", JobStatus.COMPLETED)
COLD = Health(JobCounts(), WorkerCounts(initializing=1))


def progress(
    percent: float | None = None,
    text: str | None = None,
    step: int | None = None,
    total_steps: int | None = None,
) -> Progress:
    """Make progress."""
    return Progress(percent, text, step, total_steps, None)


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.now_s


@pytest.mark.parametrize(
    ("workers", "text"),
    [
        (None, "waiting for a worker"),
        (WorkerCounts(), "no worker yet"),
        (WorkerCounts(initializing=1), "no worker yet: 1 starting (cold start)"),
        (
            WorkerCounts(throttled=2, unhealthy=1),
            "no worker yet: 2 throttled: no free GPU in the pool, 1 unhealthy",
        ),
        (WorkerCounts(running=3, initializing=1), "workers: 1 starting (cold start), 3 busy"),
        (WorkerCounts(idle=1), "workers: 1 idle"),
        (WorkerCounts(ready=1), "waiting for a worker"),
    ],
)
def test_workers_in_words(workers: WorkerCounts | None, text: str) -> None:
    """Why a job still waits."""
    assert workers_text(None if workers is None else Health(JobCounts(), workers)) == text


@pytest.mark.parametrize(
    ("it", "text"),
    [
        (progress(), ""),
        (progress(40, "Rendering", 2, 5), "Rendering (2 of 5)"),
        (progress(None, None, 0, 5), "(0 of 5)"),
        (progress(None, "Rendering", 2, None), "Rendering"),
        (progress(None, "Rendering", 2, 0), "Rendering"),
    ],
)
def test_progress_in_words(it: Progress, text: str) -> None:
    """The step's name, and which of how many."""
    assert progress_text(it) == text


def test_a_plain_view_says_one_line_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing for what did not change."""
    view = PlainJobView(Output(), Time())
    with view:
        view.submitted("j-u1", Place("ep", "test"))
        view.show(Queued(0, None))
        view.show(Started(JOB, 1.25))
        view.show(Progressed(progress(40, "Rendering", 2, 5), 2))
        view.show(Progressed(progress(None, "Cooling\x1b"), 3))
        view.show(Progressed(progress(99.6), 3))
        view.show(Unchanged(4))
        view.show(Finished(DONE, 5))

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "queued     j-u1 on test (ep)",
        "running    after 1.2 s",
        "progress   40 % Rendering (2 of 5)",
        "progress   Cooling�",
        "progress   100 %",
    ]


def test_a_plain_view_has_a_heartbeat(capsys: pytest.CaptureFixture[str]) -> None:
    """Every 15 s since something was said: CI systems kill silent steps."""
    time = Time()
    view = PlainJobView(Output(), time)
    view.submitted("j", Place("ep"))
    said_s = []
    for second in range(1, 61):
        time.now_s = second
        view.show(Queued(second, COLD) if second < 40 else Unchanged(second))
        if capsys.readouterr().err.count("\n") > (second == 1):
            said_s.append(second)

    assert said_s == [15, 30, 45, 60]
    assert HEARTBEAT_S == 15


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Queued(15.4, COLD), "queued     15 s, no worker yet: 1 starting (cold start)\n"),
        (Unchanged(15.4), "running    15 s\n"),
    ],
)
def test_what_the_heartbeat_says(
    capsys: pytest.CaptureFixture[str], event: Event, line: str
) -> None:
    """How long it has been, and what it waits for."""
    time = Time()
    view = PlainJobView(Output(), time)
    time.now_s = 15.4

    view.show(event)

    assert capsys.readouterr().err == line


def test_a_json_view_prints_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line on stdout; what did not change is no event."""
    with JsonJobView(Output(as_json=True)) as view:
        view.submitted("j-u1", Place("ep"))
        view.show(Queued(0, COLD))
        view.show(Started(JOB, 1))
        view.show(Progressed(progress(40, "Rendering", 2, 5), 2))
        view.show(Unchanged(3))
        view.show(Finished(DONE, 4))

    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [
        {"event": "queued", "id": "j-u1", "endpoint_id": "ep", "preset": None},
        {"event": "started", "id": "j-u1", "delay_ms": 824, "worker_id": "w"},
        {
            "event": "progress",
            "id": "j-u1",
            "progress": 40,
            "text": "Rendering",
            "step": 2,
            "total_steps": 5,
        },
    ]
    assert err == ""


class Terminal(io.StringIO):
    """A terminal of some width, and what a person sees on it."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def isatty(self) -> bool:
        """Tell that it is one."""
        return True

    @property
    def lines(self) -> list[str]:
        """What is on the screen now, empty lines aside."""
        screen = pyte.Screen(self.columns, 10)
        pyte.Stream(screen).feed(self.getvalue().replace("\n", "\r\n"))
        return [line.rstrip() for line in screen.display if line.strip()]


@pytest.fixture(params=[40, 60, 80, 140])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal, in several widths."""
    columns: int = request.param
    it = Terminal(columns)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    return it


def shown(terminal: Terminal, *events: Event) -> list[str]:
    """Show events on a terminal, and return what is seen after the last one."""
    time = Time()
    with redirect_stderr(terminal), TerminalJobView(Output(), time) as view:
        view.submitted(JOB_ID, Place("vsrx8zdokf21gz", "test"))
        for event in events:
            time.now_s = event.elapsed_s
            view.show(event)
        view.draw()
        return terminal.lines


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], ["sending", "0 s"]),
        ([Queued(12, COLD)], ["queued", "12 s", "no worker"]),
        ([Queued(1, None), Started(JOB, 2)], ["running", "2 s"]),
        ([Started(JOB, 1), Progressed(progress(40, "Rendering"), 3)], ["running", "3 s", "40 %"]),
        ([Progressed(progress(None, "Loading"), 3)], ["running", "3 s", "Loading"]),
        ([Progressed(progress(100), 3)], ["100 %"]),
    ],
    ids=["sending", "queued", "started", "progressed", "text", "percent"],
)
def test_a_terminal_shows_one_line_that_fits(
    terminal: Terminal, events: list[Event], words: list[str]
) -> None:
    """At any width: the job's id whole, to be copied, and below it the state, which never wraps."""
    *head, line = shown(terminal, *events)

    assert "".join(head).startswith(f"Job {JOB_ID} on")
    assert len(line) <= terminal.columns
    assert [word for word in words if word not in line] == []


def test_there_is_a_bar_where_there_is_room(terminal: Terminal) -> None:
    """On a narrow terminal the words are worth more."""
    half = Progressed(progress(50, "Rendering the picture", 2, 5), 3)

    line = shown(terminal, half)[-1]

    assert ("━" in line) == (terminal.columns >= 80)
    assert "Rende" in line


def test_a_long_text_is_cut_and_not_wrapped(terminal: Terminal) -> None:
    """The state stays readable."""
    line = shown(terminal, Progressed(progress(50, "word " * 40), 3))[-1]

    assert "50 %" in line
    assert line.endswith("…")


def test_a_job_that_is_queued_again_has_no_progress(terminal: Terminal) -> None:
    """What its lost worker had done is lost, too."""
    line = shown(terminal, Progressed(progress(50, "Rendering"), 3), Queued(5, COLD))[-1]

    assert "Rendering" not in line
    assert "queued" in line


def test_the_line_is_gone_afterwards(terminal: Terminal) -> None:
    """The result comes below the job's id, not below a frozen spinner."""
    during = shown(terminal, Started(JOB, 1))

    assert terminal.lines == during[:-1]


def test_an_id_cannot_move_the_cursor(terminal: Terminal) -> None:
    """Not even RunPod's own."""
    with redirect_stderr(terminal), TerminalJobView(Output(), Time()) as view:
        view.submitted("j\x1b[2J", Place("ep"))

    assert "\x1b[2J" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("output", "term", "kind"),
    [
        (Output(), "xterm", TerminalJobView),
        (Output(), "dumb", PlainJobView),
        (Output(is_quiet=True), "xterm", PlainJobView),
        (Output(as_json=True), "xterm", JsonJobView),
    ],
)
def test_the_view_fits_the_surroundings(
    monkeypatch: pytest.MonkeyPatch, *, output: Output, term: str, kind: type[JobView]
) -> None:
    """A terminal is drawn on, a pipe gets lines, a program JSON."""
    monkeypatch.setenv("TERM", term)

    with redirect_stderr(Terminal(80)):
        assert type(job_view(output)) is kind


def test_a_files_line() -> None:
    """Its path, and how large it is."""
    assert file_line("outputs/a.png", 1234) == "outputs/a.png   1.2 kB"
