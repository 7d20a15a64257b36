"""`--local` and `local …`: a whole RunPod that comes and goes with the commands that use it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.acceptance.cli.person import PATIENCE_S, Person, Said

if TYPE_CHECKING:
    from collections.abc import Iterator

TASK = ("submit", "--task", "text_processing", "--local")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of this test's local RunPod, not there yet."""
    return tmp_path / "data"


@pytest.fixture
def newcomer(data: Path) -> Iterator[Person]:
    """Somebody without an account, on a machine that has never seen this tool."""
    variables = {"RUNPODCTL_LOCAL_DIR": str(data), "WORKER_TIME_SCALE": "0.02"}
    person = Person(Path.cwd(), variables)
    yield person
    person.run("local", "down")


def processes_of(data: Path) -> list[int]:
    """Return the ids of all processes whose environment names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            if str(data).encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def assert_nothing_is_left(data: Path) -> None:
    """Wait for the end of the emulator, its workers and whatever else belongs to it."""
    while processes := processes_of(data):
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(processes[0])
            ended, _, _ = select.select([process], [], [], PATIENCE_S)
            os.close(process)
            command = Path(f"/proc/{processes[0]}/cmdline")
            assert ended, f"still there: {command.read_text()}"


def test_a_fresh_machine(newcomer: Person, data: Path) -> None:
    """One command sets up, runs, saves and leaves nothing that runs; `.env` is not touched."""
    said = newcomer.run(*TASK)
    (path,) = Path("outputs").glob("*.md")
    assert (said.code, said.stdout) == (0, f"{path}\n"), said.stderr
    starting, set_up, *_, done = said.stderr.splitlines()
    assert starting == "Starting the local RunPod …"
    assert set_up.startswith("Set up test (")
    assert set_up.endswith("); its id is in .env.local.")
    assert done.startswith(f"done       after {done.split()[2]} s: {path} (")
    assert "about $" not in done
    assert_nothing_is_left(data)
    assert sorted(p.name for p in newcomer.folder.iterdir()) == [".env.local", "outputs"]


def test_rough_surroundings(newcomer: Person, data: Path) -> None:
    """A module of the person's own and a proxy are none of the local RunPod's business."""
    (newcomer.folder / "secrets.py").write_text("raise SystemExit('shadowed')\n")
    nowhere = "http://127.0.0.1:9"
    said = newcomer.run("endpoints", "list", "--local", "--json", HTTP_PROXY=nowhere)
    assert (said.code, said.document) == (0, []), said
    assert_nothing_is_left(data)


def test_two_first_commands_share_one(newcomer: Person, data: Path) -> None:
    """Both finish, on the same endpoint, in one emulator."""
    both = [newcomer.start(*TASK, "--json") for _ in range(2)]
    ended = [process.communicate(timeout=PATIENCE_S) for process in both]
    said = [Said(p.returncode, *out) for p, out in zip(both, ended, strict=True)]
    assert [each.code for each in said] == [0, 0], ended
    assert len({each.events[-1]["endpoint_id"] for each in said}) == 1
    assert len({each.events[-1]["files"][0]["path"] for each in said}) == 2
    assert_nothing_is_left(data)


@pytest.mark.timeout(240)
def test_one_that_stays(newcomer: Person, data: Path) -> None:
    """`up --detach`, used, looked at, and stopped; what it knew is there after a restart."""
    nothing = newcomer.run("local", "status", "--json")
    assert (nothing.code, nothing.error["error"]) == (3, "not_found")
    up = newcomer.run("local", "up", "--detach", "--json")
    url = up.events[0]["url"]
    assert (up.code, up.stderr, list(up.events[0])) == (0, "", ["url", "port", "pid"])
    second = newcomer.run("local", "up", "--detach", "--json")
    assert (second.code, second.error["error"]) == (2, "conflict")
    assert url in second.error["message"]
    sent = newcomer.run(*TASK, "--detach", "--json")
    job_id, place = sent.events[0]["id"], sent.events[0]["endpoint_id"]
    watched = newcomer.run("watch", job_id, "--preset", "test", "--local", "-q")
    assert (sent.code, watched.code, Path(watched.stdout.strip()).exists()) == (0, 0, True)
    status = newcomer.run("local", "status").document
    (endpoint,) = status["endpoints"]
    assert (status["url"], place) == (url, endpoint["id"])
    assert endpoint["jobs"]["completed"] == 1
    logs = newcomer.run("local", "logs")
    assert (logs.code, "Local RunPod on" in logs.stdout) == (0, True)
    assert "runpodctl-py local down stops it" in logs.stdout
    of_endpoint = newcomer.run("local", "logs", "--endpoint", endpoint["id"]).stdout
    by_name = newcomer.run("local", "logs", "-e", endpoint["name"]).stdout
    # Its worker may have written more meanwhile.
    assert by_name.splitlines()[:9] == of_endpoint.splitlines()[:9] != []
    down = newcomer.run("local", "down")
    assert (down.code, down.stderr) == (0, "The local RunPod has stopped.\n")
    assert_nothing_is_left(data)
    again = newcomer.run("status", job_id, "--preset", "test", "--local")
    assert (again.code, again.document["status"]) == (0, "COMPLETED")


def test_two_endpoints_of_one_name(newcomer: Person) -> None:
    """Whose logs are meant has to be said by id."""
    newcomer.run("local", "up", "--detach", "--simulate", "")
    exports = newcomer.run("local", "env", "--json").document
    mutation = (
        'mutation ($t: EndpointTemplateInput!) { saveEndpoint(input: { name: "twin", '
        'gpuIds: "ADA_24", workersMin: 0, workersMax: 1, template: $t }) { id } }'
    )
    template = {"imageName": "image", "containerDiskInGb": 1, "env": []}
    ids = []
    for name in ("t1", "t2"):
        answer = httpx.post(
            exports["RUNPOD_GRAPHQL_URL"],
            headers={"Authorization": f"Bearer {exports['RUNPOD_API_KEY']}"},
            json={
                "query": mutation,
                "variables": {"t": {**template, "name": name}},
            },
        )
        ids.append(answer.json()["data"]["saveEndpoint"]["id"])
    said = newcomer.run("local", "logs", "-e", "twin", "--json")
    assert (said.code, said.error["error"]) == (2, "usage_error")
    assert said.error["message"] == f"2 endpoints are called twin: {', '.join(ids)}"


def test_official_clients_find_it(newcomer: Person) -> None:
    """`eval "$(runpodctl-py local env)"`: RunPod's own Python client runs a job there."""
    newcomer.run("local", "up", "--detach")
    made = newcomer.run("setup-test", "--local", "--json").document["endpoint_id"]
    exports = newcomer.run("local", "env").stdout
    documented = newcomer.run("local", "env", "--json").document
    assert exports == "".join(f"export {name}={value}\n" for name, value in documented.items())
    client = (
        "import json, os, runpod, sys\n"
        "runpod.api_key = os.environ['RUNPOD_API_KEY']\n"
        "job = runpod.Endpoint(sys.argv[1]).run({'task_type': 'data_analysis', 'duration': 5})\n"
        "output = job.output(timeout=50)\n"
        "print(json.dumps([job.status(), output['success']]))\n"
    )
    script = f'{exports}exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", sys.executable, "-c", client, made],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, json.loads(done.stdout)) == (0, ["COMPLETED", True]), done.stderr


def test_a_job_cannot_outlive_its_runpod(newcomer: Person) -> None:
    """`--detach` with an emulator that would stop: refused, with the way to one that stays."""
    said = newcomer.run(*TASK, "--detach", "--json")
    assert (said.code, said.error["error"]) == (2, "usage_error")
    assert said.error["hint"] == "Start one that stays:  runpodctl-py local up --detach"


def test_without_its_libraries(newcomer: Person) -> None:
    """Installed without the extra: what to install is named."""
    # The interpreter's own way to look for modules, blind for these.
    blocked = (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in {'starlette', 'uvicorn', 'runpod', 'PIL'}:\n"
        "            return None\n"
        "        return PathFinder.find_spec(name, path, target)\n"
        "sys.meta_path[sys.meta_path.index(PathFinder)] = Without()\n"
        "from runpodctl_py.cli.app import main\n"
        "main()\n"
    )
    for arguments in ([*TASK], ["local", "up"], ["local", "up", "--detach"]):
        done = subprocess.run(
            [sys.executable, "-c", blocked, *arguments],
            env=newcomer.environment({}),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "pip install 'runpodctl-py[local]'" in done.stderr
