"""The guard and what hangs on it: logs with times, what is cleaned up, room for processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator.bells import Bells
from runpodctl_py.emulator.config import EmulatorConfig, Timings, WorkerCommand
from runpodctl_py.emulator.control.plane import EndpointDraft, TemplateDraft
from runpodctl_py.emulator.jobs.job import JobStatus, Policy
from runpodctl_py.emulator.state import State
from runpodctl_py.emulator.store import SqliteStore
from runpodctl_py.emulator.workers.guard import Output
from runpodctl_py.emulator.workers.guard_line import GuardLine, ProcessPlan
from runpodctl_py.emulator.workers.logs import read_tail
from runpodctl_py.emulator.workers.processes import Workers
from runpodctl_py.emulator.workers.record import Leaving, WorkerState
from runpodctl_py.emulator.workers.scaler import Scaler
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]


class Line:
    """A guard, and the ends of what it has started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.guard = GuardLine(lambda name, code: self.ended.put_nowait((name, code)))
        self.ended: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    async def start(self, program: str, cleanup: tuple[str, ...] | None = None) -> Path:
        """Starts a Python program and returns its log."""
        log = self.folder / "w.log"
        plan = ProcessPlan([sys.executable, "-c", program], {}, self.folder, cleanup)
        await self.guard.spawn("w", plan, log)
        return log

    async def texts(self, program: str) -> list[str]:
        """Runs a Python program to its end and returns the lines of its log."""
        log = await self.start(program)
        assert await self.ended.get() == ("w", 0)
        return [each.text for each in read_tail(log, 1_000_000)]


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    """A guard without workers."""
    line = Line(tmp_path)
    await line.guard.open()
    yield line
    await line.guard.close()


async def test_every_line_has_a_time_of_its_own(line: Line) -> None:
    """Later than the one before, however fast they come; nothing is lost at the end."""
    log = await line.start("print('x\\n' * 20_000 + 'last', end='')")
    await line.ended.get()
    lines = read_tail(log, 30_000)
    assert [each.text for each in lines] == ["x"] * 20_000 + ["last"]
    times = [each.time for each in lines]
    assert times == sorted(set(times))


async def test_a_line_may_come_in_parts_and_be_of_anything(line: Line) -> None:
    """It is written when it is whole; both streams of a worker come together."""
    program = (
        "import os\n"
        "for part in (b'on', b'e \\xc3', b'\\xa9\\ntwo\\n'): os.write(1, part)\n"
        "os.write(2, b'\\xff\\n\\n')\n"
    )
    assert await line.texts(program) == ["one é", "two", "\ufffd", ""]


async def test_a_huge_line_is_cut(line: Line) -> None:
    """Nobody has to keep it in memory; no character of it is lost."""
    pieces = await line.texts("print('y' * 1_000_000)")
    assert "".join(pieces) == "y" * 1_000_000
    assert 16 <= len(pieces) <= 1_000_000 // 65_536 * 4


async def test_a_grandchild_does_not_hold_up_the_end(line: Line) -> None:
    """It has the pipe of its own accord, in another session, and is not waited for."""
    program = (
        "import subprocess\n"
        "subprocess.Popen(['sleep', '20'], start_new_session=True)\n"
        "print('done')\n"
    )
    async with asyncio.timeout(10):
        assert await line.texts(program) == ["done"]


@pytest.mark.parametrize("killed", [True, False])
async def test_what_a_worker_leaves_is_cleaned_up(
    line: Line, eventually: Callable[..., None], *, killed: bool
) -> None:
    """When it is killed, and when the emulator is gone."""
    mark = line.folder / "cleaned"
    await line.start("import time; time.sleep(60)", ("/bin/touch", str(mark)))
    if killed:
        line.guard.signal("w", signal.SIGKILL)
        assert await line.ended.get() == ("w", -signal.SIGKILL)
        await asyncio.to_thread(eventually, mark.exists)
    else:
        await line.guard.close()
        assert mark.exists()


async def test_a_guard_that_is_killed_is_replaced(line: Line) -> None:
    """Its workers die with it, and the next one gets a new guard."""
    await line.start("import time; time.sleep(60)")
    assert line.guard._process is not None
    line.guard._process.kill()
    assert await line.ended.get() == ("w", -signal.SIGKILL)
    assert await line.texts("print('again')") == ["again"]


async def test_a_request_that_makes_no_sense_costs_one_worker(line: Line) -> None:
    """Not the guard, and with it all the others."""
    plan = ProcessPlan([1], {}, line.folder)  # type: ignore[list-item] # what is tested.
    with pytest.raises(EmulatorError, match="not int"):
        await line.guard.spawn("odd", plan, line.folder / "odd.log")
    assert await line.texts("print('fine')") == ["fine"]


async def test_the_logs_of_workers_long_gone_are_removed(line: Line) -> None:
    """When another one starts: the last 50 stay, and whatever is still written to."""
    for age in range(60):
        log = line.folder / f"old{age}.log"
        log.touch()
        os.utime(log, (1_790_000_000 - age, 1_790_000_000 - age))
    log = await line.start("import time; time.sleep(60)")
    os.utime(log, (0, 0))
    second = ProcessPlan([sys.executable, "-c", ""], {}, line.folder)
    await line.guard.spawn("w2", second, line.folder / "w2.log")
    assert await line.ended.get() == ("w2", 0)
    left = {each.stem for each in line.folder.glob("*.log")}
    assert left == {"w", "w2", *(f"old{age}" for age in range(49))}


def test_a_log_has_a_largest_size(tmp_path: Path) -> None:
    """The newest lines are kept, each of them once, in two files of half of it."""
    path = tmp_path / "w.log"
    output = Output(path, most_bytes=20_000)
    for number in range(2000):
        os.write(output.writer, b"%d\n" % number)
        output.read()
    os.close(output.writer)
    output.close()
    sizes = [each.stat().st_size for each in (path, path.with_name("w.1.log"))]
    assert max(sizes) < 10_000 + 40
    lines = read_tail(path, 3000)
    assert [each.text for each in lines] == [str(each) for each in range(2000)][-len(lines) :]
    assert len(lines) > 300
    assert sorted(tmp_path.glob("w.*")) == [path.with_name("w.1.log"), path]


def test_lines_of_the_sdk_that_were_glued_together_are_lines(tmp_path: Path) -> None:
    """Its threads print at the same time, and an end of line comes after the next line."""
    beat = '{"requestId": null, "message": "Heartbeat", "level": "DEBUG"}'
    queue = '{"requestId": "a-u1", "message": "Jobs: {1}", "level": "INFO"}'
    own = 'got {"requestId": 7} and {"requestId": '
    output = Output(tmp_path / "w.log")
    os.write(output.writer, f"{beat}{queue}\n\nprinted{beat}\n{own}\n{beat}{own}{queue}\n".encode())
    os.close(output.writer)
    output.close()
    lines = [beat, queue, "", "printed", beat, own, beat + own, queue]
    assert [each.text for each in read_tail(tmp_path / "w.log", 99)] == lines


def test_a_log_goes_on_when_its_file_cannot_be_replaced(tmp_path: Path) -> None:
    """Lines are lost meanwhile; there may be no room for another file."""
    path = tmp_path / "w.log"
    output = Output(path, most_bytes=2)
    path.with_name("w.1.log").mkdir()
    for text in (b"first\n", b"lost\n"):
        os.write(output.writer, text)
        output.read()
    path.with_name("w.1.log").rmdir()
    os.write(output.writer, b"last\n")
    os.close(output.writer)
    output.close()
    assert [each.text for each in read_tail(path, 9)] == ["first", "last"]


class Place:
    """A state with an endpoint, and the workers that a machine has room for."""

    def __init__(self, folder: Path, argv: list[str], env: dict[str, str], **options: Any) -> None:
        images = {"image": WorkerCommand(argv)}
        self.config = EmulatorConfig(folder, images=images, **options)
        self.store = SqliteStore(":memory:")
        timings = self.config.timings
        self.bells = Bells()
        self.state = State(self.store, self.config.clock, timings, self.bells.ring, worker_quota=9)
        template = {"name": "t", "image_name": "image", "is_serverless": True, "env": env}
        fields = {"name": "e", "scaler_type": "REQUEST_COUNT"}
        self.endpoint = self.state.save_endpoint(
            EndpointDraft(None, fields, TemplateDraft(None, template))
        )
        self.workers = Workers(self.config, self.state, "http://127.0.0.1:1", "key")

    def states(self) -> list[WorkerState]:
        """Returns the states of all workers, the oldest first."""
        return [each.state for each in self.state.fleet.of(self.endpoint.id)]

    async def close(self) -> None:
        """Ends everything."""
        await self.workers.close()
        self.store.close()


@pytest.mark.proves("rule: worker-states")
async def test_workers_beyond_the_capacity_wait(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """They are throttled, have no process, and start in their order when there is room."""
    place = Place(tmp_path, ["sleep", "60"], {}, capacity=1)
    await place.workers.open()
    place.workers.start(place.endpoint, 3)
    assert place.states() == ["INITIALIZING", "THROTTLED", "THROTTLED"]
    first, second, third = place.state.fleet.of(place.endpoint.id)
    await asyncio.to_thread(eventually, lambda: first.pid is not None)
    place.state.fleet.leave(first.id, Leaving.AT_ONCE)
    place.workers.stop(first.id, Leaving.AT_ONCE)
    await asyncio.to_thread(eventually, lambda: second.pid is not None)
    assert (second.state, third.state, third.pid) == ("INITIALIZING", "THROTTLED", None)
    await place.close()
    assert place.states() == []


@pytest.mark.parametrize(("told", "limit_s"), [("30", 30), ("soon", 420)])
async def test_a_template_says_how_long_a_start_may_take(
    tmp_path: Path, told: str, limit_s: float
) -> None:
    """In seconds; what is no number says nothing."""
    place = Place(tmp_path, ["sleep", "60"], {"RUNPOD_INIT_TIMEOUT": told})
    await place.workers.open()
    place.workers.start(place.endpoint, 1)
    (worker,) = place.state.fleet.of(place.endpoint.id)
    assert worker.due_at - place.config.clock.monotonic() == pytest.approx(limit_s, abs=1)
    await place.close()


async def test_a_worker_that_never_asks_for_a_job(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """It is ended when its time is up, and another one is tried; the job waits."""
    timings = Timings(start_limit_s=0.2, first_backoff_s=0.1)
    place = Place(tmp_path, ["sleep", "60"], {}, timings=timings)
    await place.workers.open()
    scaler = Scaler(place.state, place.workers, place.bells, place.config.clock)
    scaling = asyncio.create_task(scaler.run())
    job = place.state.submit(place.endpoint.id, {"input": {}}, Policy(), sync=False)
    logs = tmp_path / "logs" / place.endpoint.id
    await asyncio.to_thread(eventually, lambda: len(list(logs.glob("*.log"))) > 1)
    assert place.state.job(place.endpoint.id, job.id).status is JobStatus.IN_QUEUE
    scaling.cancel()
    await place.close()


@pytest.mark.proves("rule: containers")
async def test_a_container_is_run_and_removed(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """By an engine that here only says what it was asked and what the worker would be told."""
    engine = tmp_path / "engine"
    engine.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        '[ "$1" = run ] || exit 0\n'
        'while [ "$1" != --env-file ]; do shift; done; cat "$2"; exec sleep 60\n'
    )
    engine.chmod(0o755)
    place = Place(tmp_path, [], {"TOKEN": "s3cret"}, containers=str(engine))
    await place.workers.open()
    place.workers.start(place.endpoint, 1)
    (worker,) = place.state.fleet.of(place.endpoint.id)

    def told() -> list[str]:
        return [each.text for each in read_tail(worker.log_path or Path("none"), 50)]

    await asyncio.to_thread(eventually, lambda: f"RUNPOD_POD_ID={worker.id}" in told())
    assert "TOKEN=s3cret" in told()
    assert not [each for each in told() if each.startswith(("HOME=", "PATH="))]
    await place.close()
    run, remove = (tmp_path / "asked").read_text().splitlines()
    assert run.startswith(f"run --rm --init --name runpodctl-{worker.id} ")
    assert run.endswith(" image")
    assert "s3cret" not in run
    assert remove == f"rm -f runpodctl-{worker.id}"


async def test_a_container_that_would_be_another_one(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """It is not started; its log says why, and the worker is unhealthy."""
    place = Place(tmp_path, [], {"A\nB": "1"}, containers="/bin/false")
    await place.workers.open()
    place.workers.start(place.endpoint, 1)
    (worker,) = place.state.fleet.of(place.endpoint.id)
    await asyncio.to_thread(eventually, lambda: worker.unhealthy)
    assert worker.log_path is not None
    (line,) = read_tail(worker.log_path, 9)
    assert line.text == "The worker could not be started: 'A\\nB' is no variable's name"
    await place.close()
