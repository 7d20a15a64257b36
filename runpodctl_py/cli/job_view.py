"""How a running job looks: drawn in place on a terminal, a line per event in a pipe, or JSON.

Owns the words and the bar. Is told events (`jobs/follow.py`) and asks nobody anything.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from runpodctl_py.cli.live_line import LiveLine, State
from runpodctl_py.cli.output import Output, bytes_text, printable, seconds_text
from runpodctl_py.cli.saying import Saying, how_far
from runpodctl_py.jobs.follow import Event, Progressed, Queued, Started, Unchanged
from runpodctl_py.jobs.progress import Progress
from runpodctl_py.jobs.words import LiveText, is_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.console import RenderableType

    from runpodctl_py.api.types import Health
    from runpodctl_py.jsontypes import JsonObject, JsonValue

#: Without a terminal, something is said at least this often: CI systems kill silent steps.
HEARTBEAT_S = 15.0
_WIDEST_BAR = 28
_NARROWEST_BAR = 10
#: What else is on the line: spinner, state, time, percent, and room for the step's name.
_BESIDE_THE_BAR = 62


@dataclass(frozen=True)
class Place:
    """Where a job runs: an endpoint, and the preset it was set up from if we know."""

    endpoint_id: str
    preset: str | None = None

    def __str__(self) -> str:
        return f"{self.preset} ({self.endpoint_id})" if self.preset else self.endpoint_id


class JobView(Protocol):
    """Something that shows one job. A context: what it drew is gone or finished after it."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def submitted(self, job_id: str, place: Place) -> None:
        """Say which job it is and where it runs."""

    def show(self, event: Event) -> None:
        """Show what happened."""

    def hear(self, piece: JsonValue) -> None:
        """Tell what the worker yielded."""

    def make_way(self) -> None:
        """End the line that was begun: something else is to be said."""

    @property
    def has_told(self) -> bool:
        """Whether what it yielded was printed."""


def queued_event(job_id: str, place: Place) -> JsonObject:
    """Return the first event of a stream; its keys are a promise to scripts."""
    return {
        "event": "queued",
        "id": job_id,
        "endpoint_id": place.endpoint_id,
        "preset": place.preset,
    }


def job_view(output: Output, name: str | None = None) -> JobView:
    """Return the view that fits the surroundings.

    Args:
        output: Where the job is shown.
        name: What each line begins with, where several jobs are shown.
    """
    if output.as_json:
        return JsonJobView(output)
    if output.draws and name is None:
        return TerminalJobView(output)
    return PlainJobView(output, name=name)


def workers_text(health: Health | None) -> str:
    """Say what an endpoint's workers are doing while a job waits for one."""
    if health is None:
        return "waiting for a worker"
    workers = health.workers
    parts = [
        f"{count} {what}"
        for count, what in (
            (workers.initializing, "starting (cold start)"),
            (workers.throttled, "throttled: no free GPU in the pool"),
            (workers.unhealthy, "unhealthy"),
            (workers.running, "busy"),
            (workers.idle, "idle"),
        )
        if count
    ]
    has_worker = workers.idle + workers.running + workers.ready > 0
    text = ", ".join(parts)
    if has_worker:
        return f"workers: {text}" if text else "waiting for a worker"
    return f"no worker yet: {text}" if text else "no worker yet"


def progress_text(progress: Progress) -> str:
    """Say how far a job is, in words."""
    steps = ""
    if progress.step is not None and progress.total_steps:
        steps = f"({progress.step} of {progress.total_steps})"
    return " ".join(filter(None, (progress.text, steps)))


class QuietExit:
    """The context of a view that leaves nothing to clean up."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


class JsonJobView(QuietExit):
    """One JSON line per event; the final one is the caller's, who knows the files."""

    has_told = False

    def __init__(self, output: Output) -> None:
        self._output = output
        self._job_id = ""
        self._words = LiveText()

    def submitted(self, job_id: str, place: Place) -> None:
        """Print the `queued` event."""
        self._job_id = job_id
        self._output.event(queued_event(job_id, place))

    def show(self, event: Event) -> None:
        """Print `started` and `progress` events."""
        if isinstance(event, Started):
            self._output.event(
                {
                    "event": "started",
                    "id": self._job_id,
                    "delay_ms": event.job.delay_ms,
                    "worker_id": event.job.worker_id,
                }
            )
        elif isinstance(event, Progressed):
            self._output.event(self._progress(event.progress))

    def hear(self, piece: JsonValue) -> None:
        """Print a `piece` event."""
        text = self._words.feed(piece) if is_words(piece) else None
        self._output.event(
            {"event": "piece", "id": self._job_id, "output": piece, "text": text or None}
        )

    def make_way(self) -> None:
        """Do nothing: each event is a line."""

    def _progress(self, progress: Progress) -> JsonObject:
        return {
            "event": "progress",
            "id": self._job_id,
            "progress": progress.percent,
            "text": progress.text,
            "step": progress.step,
            "total_steps": progress.total_steps,
        }


class PlainJobView:
    """A plain line per event, and a heartbeat while nothing changes.

    Args:
        output: Where it says so.
        now_s: Seconds that never run backwards.
        name: What each line begins with, where several jobs are shown.
    """

    def __init__(
        self, output: Output, now_s: Callable[[], float] = time.monotonic, name: str | None = None
    ) -> None:
        self._output = output
        self._name = f"{name}  " if name else ""
        self._now_s = now_s
        self._said_s = now_s()
        self._saying = Saying(output)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._saying.end()

    @property
    def has_told(self) -> bool:
        """Whether what the worker yielded was printed."""
        return self._saying.has_said

    def submitted(self, job_id: str, place: Place) -> None:
        """Say which job it is."""
        self._say("queued", f"{job_id} on {place}")

    def show(self, event: Event) -> None:
        """Say what happened; a job that still waits is mentioned once in a while."""
        match event:
            case Started():
                self._say("running", f"after {seconds_text(event.elapsed_s)}")
            case Progressed():
                percent = event.progress.percent
                number = "" if percent is None else f"{percent:.0f} %"
                self._say("progress", " ".join((number, progress_text(event.progress))).strip())
            case Queued() if self._now_s() - self._said_s >= HEARTBEAT_S:
                self._say("queued", f"{event.elapsed_s:.0f} s, {workers_text(event.health)}")
            case Unchanged() if self._now_s() - self._said_s >= HEARTBEAT_S:
                self._say("running", f"{event.elapsed_s:.0f} s")
            case _:
                pass

    def hear(self, piece: JsonValue) -> None:
        """Print a piece as the text that it is; of others, say how far the worker is."""
        if self._saying.hear(piece):
            return
        progress = how_far(piece)
        if progress is not None:
            self.show(Progressed(progress, 0.0))
        else:
            self._say("piece", f"{self._saying.pieces}, to be saved")

    def make_way(self) -> None:
        """End the line of text that was begun."""
        self._saying.end()

    def _say(self, word: str, rest: str) -> None:
        self._said_s = self._now_s()
        self._output.note(f"{self._name}{word:<10} {rest}")


class TerminalJobView:
    """One line that is drawn in place: a spinner, the state, the time, a bar.

    Where text is printed on the same terminal, the line makes way for it.

    Args:
        output: Where the worker's text goes.
        now_s: Seconds that never run backwards.
    """

    def __init__(self, output: Output, now_s: Callable[[], float] = time.monotonic) -> None:
        self._saying = Saying(output, self._end_line)
        self._now_s = now_s
        self._began_s = now_s()
        self._event: Event | None = None
        self._progress: Progress | None = None
        self._line = LiveLine(self)

    def __enter__(self) -> Self:
        self._line.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._saying.end()
        self._line.end()

    @property
    def has_told(self) -> bool:
        """Whether what the worker yielded was printed."""
        return self._saying.has_said

    def submitted(self, job_id: str, place: Place) -> None:
        """Print which job it is, above the line."""
        from rich.text import Text

        self._line.print_above(Text.assemble(("Job ", "bold"), printable(f"{job_id} on {place}")))

    def show(self, event: Event) -> None:
        """Remember what to draw."""
        if isinstance(event, Progressed):
            self._progress = event.progress
        elif isinstance(event, Queued):
            self._progress = None
        self._event = event

    def hear(self, piece: JsonValue) -> None:
        """Print a piece as the text that it is; of others, draw how far the worker is."""
        if not self._saying.hear(piece):
            count = self._saying.pieces
            counted = Progress(None, f"{count} piece{'s' * (count != 1)}", None, None, None)
            self._progress = how_far(piece) or counted

    def make_way(self) -> None:
        """End the line of text that was begun."""
        self._saying.end()

    def _end_line(self) -> None:
        if sys.stdout.isatty():
            self._line.end()

    def draw(self) -> None:
        """Draw the line now, without waiting for its turn."""
        self._line.refresh()

    def state(self, columns: int) -> State:
        """Return what stands on the line now."""
        is_waiting = self._event is None or isinstance(self._event, Queued)
        word = "queued" if is_waiting else "running"
        if self._event is None:
            word = "sending"
        return State(word, self._now_s() - self._began_s, is_waiting, self._rest(columns))

    def _rest(self, columns: int) -> list[RenderableType]:
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        if isinstance(self._event, Queued):
            return [Text(workers_text(self._event.health), style="dim")]
        if self._progress is None:
            return [Text("")]
        text = Text(progress_text(self._progress))
        percent = self._progress.percent
        if percent is None:
            return [text]
        number = Text(f"{percent:3.0f} %")
        width = min(columns - _BESIDE_THE_BAR, _WIDEST_BAR)
        if width < _NARROWEST_BAR:
            return [number, text]
        bar = ProgressBar(
            total=100,
            completed=percent,
            width=width,
            complete_style="green",
            finished_style="green",
        )
        return [bar, number, text]


def file_line(path: str, size_bytes: int) -> str:
    """Return a saved file as it is listed."""
    return f"{path}   {bytes_text(size_bytes)}"
