"""One emulator per folder, shared by the commands that use it."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator import daemon
from runpodctl_py.errors import ConflictError, EmulatorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., list[str]]
    Emulator = Callable[..., subprocess.Popen[str]]
    Eventually = Callable[[Callable[[], Any]], None]


def test_a_running_emulator_is_found(folder: Path, emulator: Emulator) -> None:
    """By what it announces; nobody else may read its token."""
    assert daemon.find_running(folder) is None
    process = emulator()
    found = daemon.find_running(folder)
    assert found is not None
    assert found.pid == process.pid
    assert found.url == f"http://127.0.0.1:{found.port}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("emulator.json", "token"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_a_second_one_is_refused(folder: Path, emulator: Emulator, command: Command) -> None:
    """With the address of the first."""
    emulator()
    second = subprocess.run(command(), capture_output=True, text=True, check=False)
    found = daemon.find_running(folder)
    assert found is not None
    assert second.stderr == f"a local RunPod is running already on {found.url}\n"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(folder: Path, emulator: Emulator, signum: int) -> None:
    """Its announcement is gone, its token stays for the next one."""
    process = emulator()
    before = daemon.find_running(folder)
    process.send_signal(signum)
    assert process.wait(timeout=10) == 0
    assert not (folder / "emulator.json").exists()
    emulator()
    after = daemon.find_running(folder)
    assert before is not None
    assert after is not None
    assert before.token == after.token


def test_stop_running_waits_until_it_is_gone(folder: Path, emulator: Emulator) -> None:
    """And says whether there was one."""
    process = emulator()
    assert daemon.stop_running(folder, timeout_s=10) is True
    assert daemon.stop_running(folder, timeout_s=10) is False
    assert process.wait(timeout=10) == 0


def test_a_killed_ones_announcement_is_not_believed(folder: Path, emulator: Emulator) -> None:
    """The lock is what counts, and the kernel drops it."""
    process = emulator()
    process.kill()
    process.wait()
    assert (folder / "emulator.json").exists()
    assert daemon.find_running(folder) is None
    assert daemon.stop_running(folder, timeout_s=1) is False


def test_commands_share_one_and_it_leaves_with_the_last(
    folder: Path, command: Command, eventually: Eventually
) -> None:
    """Eight commands at once start a single emulator; unused, it is gone soon after."""

    def use(_: int) -> int:
        with daemon.joined(folder, command("--until-unused"), timeout_s=30) as joined:
            return joined.pid

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(use, range(8)))) == 1
    eventually(lambda: daemon.find_running(folder) is None)


def test_a_killed_command_holds_nothing(
    folder: Path, command: Command, eventually: Eventually
) -> None:
    """The kernel drops its lease, and the emulator leaves."""
    script = (
        "import sys, pathlib, signal; from runpodctl_py.emulator.daemon import joined\n"
        "with joined(pathlib.Path(sys.argv[1]), sys.argv[2:], 30) as a:\n"
        "    print(a.pid, flush=True); signal.pause()"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", script, str(folder), *command("--until-unused")],
        stdout=subprocess.PIPE,
    )
    with user:
        assert user.stdout is not None
        assert int(user.stdout.readline()) > 0
        assert daemon.find_running(folder) is not None
        os.kill(user.pid, signal.SIGKILL)
    eventually(lambda: daemon.find_running(folder) is None)


def test_a_command_that_comes_while_it_leaves_gets_a_new_one(
    folder: Path, command: Command
) -> None:
    """Over and over, without a gap that a request could fall into."""
    for _ in range(3):
        with daemon.joined(folder, command("--until-unused"), timeout_s=30) as joined:
            assert daemon.find_running(folder) == joined


def test_an_emulator_of_local_up_stays(folder: Path, emulator: Emulator, command: Command) -> None:
    """A command uses it and leaves it alone."""
    process = emulator()
    with daemon.joined(folder, command("--until-unused"), timeout_s=30) as joined:
        assert joined.pid == process.pid
    assert daemon.stop_running(folder, timeout_s=10) is True


def test_a_detached_one_outlives_its_starter(folder: Path, command: Command) -> None:
    """Starting a second one is refused."""
    started = daemon.start_detached(folder, command(), timeout_s=30)
    assert daemon.find_running(folder) == started
    with pytest.raises(ConflictError, match=f"running already on {started.url}"):
        daemon.start_detached(folder, command(), timeout_s=30)
    assert daemon.stop_running(folder, timeout_s=10) is True


def test_a_start_that_fails_tells_why(folder: Path) -> None:
    """With the last lines of its log, at once."""
    failing = [sys.executable, "-c", "raise SystemExit('no more disk')"]
    with (
        pytest.raises(EmulatorError, match="did not start:\nno more disk"),
        daemon.joined(folder, failing, timeout_s=30),
    ):
        pass


@pytest.mark.parametrize("said", ["", "\n \n"])
def test_a_start_that_fails_without_a_word(folder: Path, said: str) -> None:
    """That is told, too."""
    failing = [sys.executable, "-c", f"raise SystemExit({said!r})"]
    with (
        pytest.raises(EmulatorError, match=r"did not start: nobody said why$"),
        daemon.joined(folder, failing, timeout_s=30),
    ):
        pass


def test_a_start_that_has_no_room_for_its_log(folder: Path) -> None:
    """As on a full disk: the reason is found by trying."""
    failing = [sys.executable, "-c", "raise SystemExit('no room')"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with (
            pytest.raises(EmulatorError, match=r"emulator\.log cannot be written: File too large"),
            daemon.joined(folder, failing, timeout_s=30),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_former_ones_log_is_kept(folder: Path, emulator: Emulator, command: Command) -> None:
    """One: what it said last may be why it is no more; one that runs keeps its own."""
    failing = [sys.executable, "-c", "raise SystemExit('crashed')"]
    with pytest.raises(EmulatorError), daemon.joined(folder, failing, timeout_s=30):
        pass
    emulator()
    subprocess.run(command(), capture_output=True, check=False)
    assert (folder / "emulator.1.log").read_text() == "crashed\n"
    assert (folder / "emulator.log").read_text() == ""


def test_a_command_that_does_not_exist_is_named(folder: Path) -> None:
    """At once, and the folder can be used afterwards."""
    with (
        pytest.raises(EmulatorError, match="/no/such/program cannot be started"),
        daemon.joined(folder, ["/no/such/program"], timeout_s=30),
    ):
        pass
    assert daemon.find_running(folder) is None


def test_looking_for_an_emulator_imports_little() -> None:
    """Commands do it before anything else: no web server, no GraphQL, no database."""
    script = "import sys, runpodctl_py.emulator.daemon; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    heavy = {"starlette", "uvicorn", "graphql", "sqlite3", "httpx", "runpod"}
    assert heavy & set(done.stdout.decode().split()) == set()
