"""The fixtures of our pytest plugin, in projects of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HANDLER = """\
import os, sys, time
import runpod

def handler(job):
    print("printed by the handler")
    time.sleep(job["input"].get("seconds", 0))
    return {"echo": job["input"], "mark": os.environ["MARK"], "args": sys.argv[1:]}

runpod.serverless.start({"handler": handler})
"""

OPTIONS = """\
import pytest

@pytest.fixture(scope="session")
def runpod_local_options():
    return {"strict": True, "worker_env": {"MARK": "of the session"}}
"""

USES_IT_ALL = """\
import os
import subprocess
import sys

import httpx
import pytest
import runpod

from runpodctl_py.errors import EmulatorError, WaitTimeoutError

REAL = runpod.endpoint_url_base

def is_pointed_at_it():
    return "RUNPOD_API_KEY" in os.environ

def endpoints(server):
    key = {"Authorization": server.token}
    return httpx.get(f"{server.url}/_local/status", headers=key).json()["endpoints"]

def test_1_nothing_is_set_before():
    assert (is_pointed_at_it(), runpod.api_key) == (False, None)

def test_2_a_handler_is_served(runpod_endpoint, runpod_local):
    endpoint = runpod_endpoint(
        "handler.py", env={"MARK": "of the test"}, args=["--size", "small"], workers_max=2
    )
    assert endpoint.url == f"{os.environ['RUNPOD_ENDPOINT_BASE_URL']}/{endpoint.id}"
    job = endpoint.runsync({"n": 1})
    assert job["status"] == "COMPLETED"
    assert job["output"] == {
        "echo": {"n": 1}, "mark": "of the test", "args": ["--size", "small"]
    }
    by_client = runpod.Endpoint(endpoint.id).run({"n": 2})
    assert by_client.output(timeout=60)["echo"] == {"n": 2}
    assert endpoint.status(by_client.job_id)["status"] == "COMPLETED"
    assert "printed by the handler" in endpoint.logs()
    assert "DEBUG" not in endpoint.logs()
    key = {"Authorization": f"Bearer {runpod_local.token}"}
    shown = httpx.get(f"{runpod_local.url}/v2/serverless/{endpoint.id}", headers=key).json()
    assert shown["workers"]["max"] == 2
    # One that has not ended is no obstacle to the test's end.
    with pytest.raises(WaitTimeoutError, match="the job is IN_PROGRESS after 1 s"):
        endpoint.runsync({"seconds": 60}, timeout_s=1)

def test_3_nothing_is_set_without_it():
    assert (is_pointed_at_it(), runpod.api_key, runpod.endpoint_url_base) == (False, None, REAL)

def test_4_it_is_gone_after_its_test(runpod_local):
    assert endpoints(runpod_local) == []
    assert runpod.get_endpoints() == []
    show = "import os; print(os.environ['RUNPOD_API_BASE_URL'])"
    said = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True)
    assert said.stdout == f"{runpod_local.url}\\n"

def test_5_faults_are_set_and_time_stands_still(runpod_endpoint, runpod_local):
    endpoint = runpod_endpoint("handler.py")
    runpod_local.faults.set("rest:500", "run:500")
    runpod_local.time.freeze()
    with pytest.raises(EmulatorError, match="HTTP 500"):
        endpoint.run({"n": 1})

def test_6_all_is_well_again(runpod_local):
    assert endpoints(runpod_local) == []
    before = runpod_local.time.now()
    assert runpod.create_template("t", "image", is_serverless=True)["name"] == "t"
    assert runpod_local.time.now() > before

def test_7_a_test_may_delete_its_endpoint(runpod_endpoint, runpod_local):
    endpoint = runpod_endpoint("handler.py")
    runpod_local.reset()
    with pytest.raises(EmulatorError, match="HTTP 404"):
        endpoint.status("any-u1")

def test_8_a_handler_that_ends_at_once(runpod_endpoint, runpod_local):
    with pytest.raises(EmulatorError, match="(?s)broken.py ended before .* no model here"):
        runpod_endpoint("broken.py")
    assert endpoints(runpod_local) == []

def test_9_a_file_that_is_not_there(runpod_endpoint):
    with pytest.raises(EmulatorError, match="there is no handler .*/nowhere.py"):
        runpod_endpoint("nowhere.py")

def test_10_it_is_found_by_who_asks_late(request):
    assert request.getfixturevalue("runpod_endpoint")
    assert is_pointed_at_it()
"""

USES_NOTHING = """\
import sys

def test_nothing_is_imported():
    assert "runpodctl_py.testing.plugin" in sys.modules
    heavy = ("runpodctl_py.emulator", "httpx", "uvicorn", "starlette", "runpod.")
    assert [each for each in sys.modules if each.startswith(heavy)] == []
"""

WITHOUT_THE_EXTRA = """\
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "uvicorn" else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


def run_pytest(folder: Path, **files: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with our plugin, and no other, on a project of these Python files."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "runpodctl_py.testing.plugin", "-v", "-W", "error"],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_project_that_uses_the_fixtures(tmp_path: Path) -> None:
    """A handler is served, clients find it in tests that use it, and nothing is left of it."""
    said = run_pytest(
        tmp_path,
        conftest=OPTIONS,
        handler=HANDLER,
        broken="raise SystemExit('no model here')\n",
        test_all=USES_IT_ALL,
    )
    assert (said.returncode, "10 passed" in said.stdout) == (0, True), said.stdout + said.stderr


def test_a_failing_test_shows_what_the_worker_printed(tmp_path: Path) -> None:
    """Beside pytest's own words; without options the session's RunPod is the usual one."""
    failing = (
        "def test_it(runpod_endpoint):\n"
        "    job = runpod_endpoint('handler.py').runsync({'n': 1})\n"
        "    assert job['status'] == 'COMPLETED', job['error']\n"
    )
    said = run_pytest(tmp_path, handler=HANDLER, test_it=failing)
    assert (said.returncode, "1 failed" in said.stdout) == (1, True), said.stdout + said.stderr
    assert "KeyError: 'MARK'" in said.stdout
    assert "printed by the handler" in said.stdout.partition("Captured stdout teardown")[2]


def test_a_project_that_does_not_use_them(tmp_path: Path) -> None:
    """It is loaded, and that is all."""
    said = run_pytest(tmp_path, test_nothing=USES_NOTHING)
    assert (said.returncode, "1 passed" in said.stdout) == (0, True), said.stdout + said.stderr


def test_without_the_local_extra(tmp_path: Path) -> None:
    """What to install is told where the test asks for it."""
    asks = "def test_it(runpod_local):\n    pass\n"
    said = run_pytest(tmp_path, conftest=WITHOUT_THE_EXTRA, test_it=asks)
    assert (said.returncode, "1 error" in said.stdout) == (1, True), said.stdout + said.stderr
    assert "pip install 'runpodctl-py[local]'" in said.stdout
