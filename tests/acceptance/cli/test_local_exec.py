"""`local exec -- COMMAND` and `local env`: other programs find the local RunPod."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.env_file import read
from runpodctl_py.testing import LocalRunPodServer
from tests.acceptance.cli.person import CTRL_C, PATIENCE_S, Person
from tests.acceptance.cli.test_local import assert_nothing_is_left

if TYPE_CHECKING:
    from collections.abc import Iterator

EXEC = ("local", "exec", "--", sys.executable, "-c")
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"
#: Ends with 5 if exactly one SIGINT has come by the time a line is typed.
INTERRUPTED_ONCE = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
print("ready", flush=True)
signal.sigwait({signal.SIGINT})
print("interrupted", flush=True)
input()
sys.exit(4 if signal.SIGINT in signal.sigpending() else 5)
"""
WAITS_FOR = """
import signal, sys
signum = signal.Signals[sys.argv[1]]
signal.pthread_sigmask(signal.SIG_BLOCK, {signum})
print("ready", flush=True)
signal.sigwait({signum})
sys.exit(9)
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of this test's local RunPod, not there yet."""
    return tmp_path / "data"


@pytest.fixture
def developer(data: Path) -> Iterator[Person]:
    """Somebody whose local RunPod does not run yet."""
    person = Person(Path.cwd(), {"RUNPODCTL_LOCAL_DIR": str(data)})
    yield person
    person.run("local", "down")


def test_a_command_with_a_runpod_of_its_own(developer: Person, data: Path) -> None:
    """Its streams and its exit code are untouched, and the RunPod goes when it has ended."""
    script = "echo $RUNPOD_API_BASE_URL; cat; echo aside >&2; exit 7"
    said = developer.run("local", "exec", "--", "sh", "-c", script, stdin="typed\nlines")
    url, *rest = said.stdout.split("\n", 1)
    assert url.startswith("http://127.0.0.1:")
    assert (said.code, rest, said.stderr) == (7, ["typed\nlines"], "aside\n")
    assert_nothing_is_left(data)


def test_every_way_names_the_same_variables(developer: Person, tmp_path: Path) -> None:
    """`exec` sets what `env` prints in its forms; one that runs is used, and stays."""
    developer.run("local", "up", "--detach", "--simulate", "")
    printed = developer.run("local", "env", "--json").document
    seen = json.loads(developer.run(*EXEC, SHOW).stdout)
    assert {name: seen[name] for name in printed} == printed
    (tmp_path / "printed.env").write_text(developer.run("local", "env", "--dotenv").stdout)
    assert read(tmp_path / "printed.env") == printed
    lines = shlex.split(developer.run("local", "env", "--shell").stdout)
    assert lines == [word for each in printed.items() for word in ("export", "=".join(each))]
    both = developer.run("local", "env", "--shell", "--dotenv", "--json")
    assert (both.code, both.error["error"]) == (2, "usage_error")
    assert developer.run("local", "status").code == 0
    with LocalRunPodServer(tmp_path / "server", token=printed["RUNPOD_API_KEY"]) as server:
        url = printed["RUNPOD_API_BASE_URL"]
        here = {
            name: value.replace(server.url, url) for name, value in server.environment().items()
        }
    assert here == printed


@pytest.mark.parametrize("command", ["no-such-program", "./no-such-file", "/"])
def test_a_command_that_is_not_there(developer: Person, data: Path, command: str) -> None:
    """Told in words before anything is started."""
    said = developer.run("local", "exec", "--json", "--", command)
    assert (said.code, said.stdout, said.error["error"]) == (2, "", "usage_error")
    assert said.error["message"] == f"There is no command {command}"
    assert not data.exists()


def test_a_file_that_cannot_be_started(developer: Person, data: Path) -> None:
    """The system's reason is told, and the RunPod that was started for it goes."""
    broken = developer.folder / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    said = developer.run("local", "exec", "./broken")
    assert (said.code, said.stdout) == (2, "")
    assert said.stderr == "✗ ./broken cannot be started: No such file or directory\n"
    assert_nothing_is_left(data)


def test_ctrl_c_reaches_the_command_once(developer: Person, data: Path) -> None:
    """At a terminal both get it; the command decides what it means, and is waited for."""
    with developer.at_terminal(*EXEC, INTERRUPTED_ONCE) as terminal:
        terminal.until_text("ready")
        terminal.type(CTRL_C)
        terminal.until_text("interrupted")
        terminal.type(b"go on\n")
        assert (terminal.until_end(), terminal.is_usable) == (5, True)
    assert_nothing_is_left(data)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_signals_are_passed_on(developer: Person, data: Path, name: str) -> None:
    """Without a terminal whoever stops us means the command."""
    running = subprocess.Popen(
        [sys.executable, "-P", "-m", "runpodctl_py", *EXEC, WAITS_FOR, name],
        env=developer.environment({}),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(signal.Signals[name])
    running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 9
    assert_nothing_is_left(data)


def test_a_command_that_is_killed(developer: Person) -> None:
    """Its exit code is the one that shells give it."""
    said = developer.run("local", "exec", "--", "sh", "-c", "kill -KILL $$")
    assert (said.code, said.stderr) == (128 + signal.SIGKILL, "")
