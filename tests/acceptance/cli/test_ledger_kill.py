"""SIGKILL between every two steps of a job's way home, and what `jobs sync` makes of each."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runpodctl_py import settings
from runpodctl_py.jobs.ledger import Ledger, Record, State
from tests.acceptance.cli.person import PATIENCE_S, Person, Said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runpodctl_py.testing import LocalRunPodServer

DOOMED = Path(__file__).with_name("doomed.py")
CONTENT = bytes(range(256)) * 1024


@dataclass(frozen=True)
class Scene:
    """Somebody whose processes are killed, and RunPod as it is without them."""

    person: Person
    server: LocalRunPodServer
    endpoint_id: str

    def payload(self, output: object) -> dict[str, Any]:
        """Return an input that no other test sends."""
        return {"do": "return", "output": output, "test": str(self.person.folder)}

    def submit_until(self, point: str, output: object) -> None:
        """Send a job with a process that is killed at a point."""
        Path("input.json").write_text(json.dumps(self.payload(output)))
        self._killed("submit", point, self.endpoint_id, "input.json")

    def sync_until(self, point: str) -> None:
        """Fetch what waits with a process that is killed at a point."""
        self._killed("sync", point)

    def retry_until(self, point: str, job_id: str) -> None:
        """Have a job repeated by a process that is killed at a point."""
        self._killed("retry", point, job_id)

    def _killed(self, *arguments: str) -> None:
        said = self.person.run_program(DOOMED, *arguments)
        assert said == Said(-signal.SIGKILL, "", "")

    def ended(self) -> list[str]:
        """Return the ids of this test's jobs at RunPod, when they have ended."""
        ids = []
        for each in self._asked("requests")["requests"]:
            if each["input"].get("test") == str(self.person.folder):
                shown = self._asked(f"status-sync/{each['id']}", wait=60_000)
                assert shown["status"] == "COMPLETED"
                ids.append(each["id"])
        return ids

    def _asked(self, path: str, **parameters: int) -> Any:
        url = f"{self.server.url}/v2/{self.endpoint_id}/{path}"
        key = {"Authorization": f"Bearer {self.server.token}"}
        return httpx.get(url, headers=key, params=parameters, timeout=PATIENCE_S).json()

    def synced(self) -> Said:
        """Fetch what waits, with the command line."""
        return self.person.run("jobs", "sync")

    def jobs(self) -> list[Record]:
        """Return what the ledger says, as `jobs list` reads it."""
        with Ledger(settings.load(os.environ, self.person.folder).ledger_path) as ledger:
            ledger.settle()
            return ledger.jobs()

    def files(self) -> dict[str, bytes]:
        """Return what is in the folder for results."""
        outputs = self.person.folder / "outputs"
        return {each.name: each.read_bytes() for each in outputs.glob("*")}

    def check_home(self, job_id: str) -> None:
        """The job is saved: two files and a manifest that agrees with them, and nothing else."""
        found = self.files()
        manifest = json.loads(found.pop(f"{job_id}.job.json"))
        assert found == {"a.bin": CONTENT, "b.txt": b"A second file, to see the order.\n"}
        assert {each["path"]: each["bytes"] for each in manifest["files"]} == {
            name: len(content) for name, content in found.items()
        }
        (job,) = self.jobs()
        assert (job.job_id, job.state, job.file_count) == (job_id, State.COMPLETED, 2)
        assert not job.waits


@pytest.fixture
def scene(person: Person, runpod: LocalRunPodServer, odd: str) -> Scene:
    """With a ledger of its own."""
    return Scene(person, runpod, odd)


def two_files() -> list[dict[str, str]]:
    """Return an output with a large file and a small one."""
    contents = {"a.bin": CONTENT, "b.txt": b"A second file, to see the order.\n"}
    return [
        {"filename": name, "content_base64": base64.b64encode(content).decode()}
        for name, content in contents.items()
    ]


def test_before_the_intent(scene: Scene) -> None:
    """Nothing is known, and nothing is at RunPod."""
    scene.submit_until("before intend", two_files())
    assert scene.synced() == Said(0, "", "Nothing is waiting to be fetched.\n")
    assert (scene.ended(), scene.jobs(), scene.files()) == ([], [], {})


def test_between_intent_and_sending(scene: Scene) -> None:
    """Nobody can know that it was not sent: it is looked for, is not found, and stays unknown."""
    scene.submit_until("after intend", two_files())
    said = scene.synced()
    (job,) = scene.jobs()
    assert (said.code, said.stdout) == (1, "")
    assert f"{job.key}: nobody knows whether it was queued" in said.stderr
    assert f"runpodctl-py jobs retry {job.key} --force" in said.stderr
    assert (job.job_id, job.state) == (None, State.UNKNOWN)
    assert job.error == "the command that sent it was ended before it was answered"
    assert (scene.ended(), scene.files()) == ([], {})


def test_between_the_answer_and_its_being_written_down(scene: Scene) -> None:
    """The job runs, and nobody knows its id: it is found by its input, and saved."""
    scene.submit_until("before sent", two_files())
    assert [(each.job_id, each.state) for each in scene.jobs()] == [(None, State.UNKNOWN)]
    (job_id,) = scene.ended()
    said = scene.synced()
    assert (said.code, sorted(said.stdout.splitlines())) == (
        0,
        [str(scene.person.folder / "outputs" / name) for name in ("a.bin", "b.txt")],
    )
    scene.check_home(job_id)


@pytest.mark.parametrize(
    ("point", "states", "is_there"),
    [
        ("after sent", {State.QUEUED}, False),
        ("before end", {State.QUEUED, State.RUNNING}, False),
        ("after end", {State.COMPLETED}, False),
        ("before home", {State.COMPLETED}, True),
    ],
)
def test_on_the_way_home(scene: Scene, point: str, states: set[State], *, is_there: bool) -> None:
    """Its id is known: it is saved, once, whether its files were here already or not."""
    scene.submit_until(point, two_files())
    assert bool(scene.files()) == is_there
    (job,) = scene.jobs()
    assert (job.state in states, job.saved_at) == (True, None)
    (job_id,) = scene.ended()
    said = scene.synced()
    assert (said.code, job_id[:8] in said.stderr) == (0, True)
    scene.check_home(job_id)


def test_after_all(scene: Scene) -> None:
    """There is nothing left to do."""
    scene.submit_until("after home", two_files())
    (job_id,) = scene.ended()
    scene.check_home(job_id)


@pytest.mark.parametrize(
    "point", ["before found", "after found", "before end", "after end", "before home", "after home"]
)
def test_fetching_is_killed_as_well(scene: Scene, point: str) -> None:
    """The next one goes on where it was."""
    scene.submit_until("before sent", two_files())
    (job_id,) = scene.ended()
    scene.sync_until(point)
    said = scene.synced()
    assert (said.code, "nobody knows" in said.stderr) == (0, False)
    scene.check_home(job_id)


@pytest.fixture
def failed(scene: Scene) -> str:
    """The id of a job that failed, and whose end is here; run once more it goes well."""
    needed = scene.person.folder / "needed.txt"
    payload = {"do": "read", "file": str(needed), "test": str(scene.person.folder)}
    Path("input.json").write_text(json.dumps(payload))
    said = scene.person.run("submit", "-e", scene.endpoint_id, "--payload", "input.json", "--json")
    assert said.code == 10, said.stderr
    needed.write_text("It is there now.")
    (job,) = scene.jobs()
    assert (job.state, job.waits) == (State.FAILED, False)
    return str(job.job_id)


def test_before_runpod_is_asked_to_repeat_a_job(scene: Scene, failed: str) -> None:
    """Nobody can know that it was not: it is asked for, and is as it was."""
    scene.retry_until("after repeating", failed)
    (job,) = scene.jobs()
    assert (job.state, job.waits) == (State.FAILED, True)
    said = scene.synced()
    assert (said.code, f"failed     {failed[:8]}" in said.stderr) == (0, True)
    (job,) = scene.jobs()
    assert (job.state, job.waits, job.job_id) == (State.FAILED, False, failed)
    again = scene.person.run("jobs", "retry", failed[:8])
    assert (again.code, again.stdout) == (0, "It is there now.\n")


@pytest.mark.parametrize(
    ("point", "state"),
    [
        ("before begun anew", State.FAILED),
        ("after begun anew", State.QUEUED),
        ("before end", None),
        ("before home", State.COMPLETED),
    ],
)
def test_after_runpod_was_asked_to_repeat_a_job(
    scene: Scene, failed: str, point: str, state: State | None
) -> None:
    """It runs, and is billed: what it returns this time is fetched, once."""
    scene.retry_until(point, failed)
    (job,) = scene.jobs()
    assert (job.waits, job.state) == (True, state or job.state)
    assert scene.ended() == [failed]
    said = scene.synced()
    assert (said.code, f"completed  {failed[:8]}" in said.stderr) == (0, True)
    (job,) = scene.jobs()
    assert (job.state, job.waits, job.job_id) == (State.COMPLETED, False, failed)
    assert job.error is None
    shown = scene.person.run("jobs", "show", failed[:8]).document
    assert (shown["output"], shown["worker_error"]) == ("It is there now.", None)
    assert scene.synced() == Said(0, "", "Nothing is waiting to be fetched.\n")


class HalfHost:
    """A host that sends half a file, and the rest when it is told to.

    Attributes:
        is_half_sent: Set when somebody has been sent the first half.
        goes_on: Set by the test: from then on, whole files are sent.
    """

    def __init__(self) -> None:
        self.is_half_sent = threading.Event()
        self.goes_on = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                half = len(CONTENT) // 2
                self.send_response(200)
                self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write(CONTENT[:half])
                self.wfile.flush()
                host.is_half_sent.set()
                if host.goes_on.wait(PATIENCE_S) and not self._is_left():
                    self.wfile.write(CONTENT[half:])

            def _is_left(self) -> bool:
                """Whether this was the process that was killed."""
                self.connection.settimeout(0.0)
                try:
                    return self.connection.recv(1) == b""
                except BlockingIOError:
                    return False
                except ConnectionError:
                    return True
                finally:
                    self.connection.settimeout(None)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/a.bin"

    @contextmanager
    def serving(self) -> Iterator[HalfHost]:
        """Answer as long as the context is open."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.goes_on.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def test_in_the_middle_of_a_file(scene: Scene) -> None:
    """Half of it is not taken for the file, by nobody; the other file is not saved twice."""
    _, small = two_files()
    with HalfHost().serving() as host:
        payload = json.dumps(scene.payload([small, {"url": host.url}]))
        Path("input.json").write_text(payload)
        submitting = scene.person.start(
            "submit", "-e", scene.endpoint_id, "-q", "--payload", "input.json"
        )
        assert host.is_half_sent.wait(PATIENCE_S)
        submitting.kill()
        submitting.communicate()
        assert {name for name in scene.files() if not name.startswith(".")} == {"b.txt"}
        host.goes_on.set()
        said = scene.synced()
        assert said.code == 0, said.stderr
    (job_id,) = scene.ended()
    for litter in (scene.person.folder / "outputs").glob(".*.part"):
        litter.unlink()
    scene.check_home(job_id)
