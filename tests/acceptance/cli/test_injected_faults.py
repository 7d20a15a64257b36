"""Our commands under faults on purpose: nothing is lost or sent twice, and the words are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runpodctl_py.testing import LocalRunPodServer, Simulation, Timings
from tests.acceptance.cli.person import Person

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN = "The job is unknown: it may be queued, and billed"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A RunPod whose workers are no processes: real ones add nothing here."""
    with LocalRunPodServer(
        tmp_path_factory.mktemp("simulated"),
        simulation=Simulation(delay_s=0.05),
        timings=Timings(first_backoff_s=0.2),
    ) as server:
        yield server


@pytest.fixture
def user(simulated: LocalRunPodServer) -> Iterator[Person]:
    """Somebody who uses it."""
    yield Person(Path.cwd(), simulated.environment())
    simulated.faults.clear()


def asked(server: LocalRunPodServer, method: str, path: str, **given: Any) -> Any:
    """Return what the RunPod answers, past our own client."""
    key = {"Authorization": f"Bearer {server.token}"}
    return httpx.request(method, f"{server.url}/v2/{path}", headers=key, timeout=30, **given).json()


def new_endpoint(server: LocalRunPodServer, name: str) -> str:
    """Make an endpoint and return its id."""
    body = {
        "name": name,
        "image": "any",
        "type": "QUEUE",
        "gpu": {"pools": ["AMPERE_16"]},
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
        "workers": {"min": 0, "max": 1},
    }
    endpoint_id: str = asked(server, "POST", "serverless", json=body)["id"]
    return endpoint_id


@pytest.fixture(scope="module")
def endpoint(simulated: LocalRunPodServer) -> str:
    """The id of an endpoint whose workers are up after its first job."""
    return new_endpoint(simulated, "shared")


def count_jobs(server: LocalRunPodServer, endpoint_id: str) -> int:
    """Return how many jobs an endpoint has got so far."""
    counters = asked(server, "GET", f"{endpoint_id}/health")["jobs"]
    return sum(number for name, number in counters.items() if name != "retried")


@pytest.mark.parametrize(
    ("faults", "jobs"),
    [
        ("run:500-after*1", 1),
        ("run:drop*1", 0),
        ("run:drop-after*1", 1),
        ("run:truncate*1", 1),
        ("run:garbage-after*1", 1),
    ],
)
def test_a_job_whose_answer_is_lost_is_not_sent_again(
    user: Person, simulated: LocalRunPodServer, endpoint: str, faults: str, jobs: int
) -> None:
    """It may exist and cost money: exit code 6, and where to look."""
    before = count_jobs(simulated, endpoint)
    with simulated.faults(faults) as set_faults:
        said = user.run("submit", "-e", endpoint, "-s", "n=1")
        assert set_faults.struck() == 1
    assert (said.code, said.stdout) == (6, "")
    assert UNKNOWN in said.stderr
    assert f"runpodctl-py health {endpoint}" in said.stderr
    assert count_jobs(simulated, endpoint) - before == jobs


@pytest.mark.parametrize(
    "faults",
    [
        "run:429:1s*1 run:delay:300ms",
        "run:503*1 run:slow:300ms",
        "status-sync:drop status:drop*1 health:drop",
        "status-sync:500 status:garbage*1 health:garbage",
        "status-sync:truncate*1 status:truncate*1 health:truncate",
        "status-sync:429 health:delay:3s",
        "status-sync:slow:500ms health:slow:3s",
        "status-sync:delay:1s*1 worker:crash*1",
    ],
)
def test_a_job_and_its_file_survive(
    user: Person, simulated: LocalRunPodServer, endpoint: str, faults: str
) -> None:
    """Sent once, followed to its end, and saved; exit code 0."""
    before = count_jobs(simulated, endpoint)
    given = faults.split()
    with simulated.faults(*given) as set_faults:
        said = user.run("submit", "-e", endpoint, "-s", "n=1", "-q")
        assert [each for each in given if not set_faults.struck(each)] == []
    assert (said.code, said.stderr) == (0, "")
    assert Path(said.stdout.strip()).read_text().startswith("A simulated worker made this file")
    assert count_jobs(simulated, endpoint) - before == 1


def test_a_rate_limit_that_stays(user: Person, simulated: LocalRunPodServer, endpoint: str) -> None:
    """We give up after five tries, with the server's words; nothing was sent: exit code 6."""
    with simulated.faults("run:429:1s") as faults:
        said = user.run("submit", "-e", endpoint, "-s", "n=1", "--json")
        assert faults.struck() == 5
    assert (said.code, said.error["error"]) == (6, "rate_limited")
    assert "the fault run:429:1s was set" in said.error["message"]


@pytest.mark.parametrize(
    ("faults", "command"),
    [
        ("status:429:1s*1 status:drop*1", "status"),
        ("cancel:drop-after*1 cancel:500*1", "cancel"),
    ],
)
def test_a_question_is_asked_again(
    user: Person, simulated: LocalRunPodServer, endpoint: str, faults: str, command: str
) -> None:
    """So is a cancellation, which twice means the same as once; exit code 0."""
    with simulated.faults("worker:throttle"):
        job_id = asked(simulated, "POST", f"{endpoint}/run", json={"input": {"n": 1}})["id"]
    with simulated.faults(*faults.split()) as set_faults:
        said = user.run(command, job_id, "-e", endpoint)
        assert set_faults.struck() == 2
    assert said.code == 0, said.stderr


def test_a_list_is_asked_for_again(
    user: Person, simulated: LocalRunPodServer, endpoint: str
) -> None:
    """It changes nothing; exit code 0."""
    with simulated.faults("graphql:drop*1", "graphql.myself:garbage*1") as faults:
        said = user.run("endpoints", "list")
        assert faults.struck() == 2
    assert (said.code, endpoint in said.stdout) == (0, True)


@pytest.mark.parametrize(
    ("fault", "what"),
    [("saveTemplate:drop-after*1", "template"), ("saveEndpoint:500-after*1", "endpoint")],
)
def test_a_setup_whose_answer_is_lost(
    user: Person, simulated: LocalRunPodServer, fault: str, what: str
) -> None:
    """It is not repeated by itself; the same command finds what is there: exit codes 6 and 0."""
    command = ("setup-test", "--name", f"lost-{what}")
    with simulated.faults(f"graphql.{fault}"):
        lost = user.run(*command)
    again = user.run(*command)
    assert (lost.code, again.code) == (6, 0), again.stderr
    assert re.search(rf"The {what} .*may be.*: run the same command again", lost.stderr)
    for kind in ("endpoints", "templates"):
        listed = user.run(kind, "list").document
        assert [each["name"] for each in listed].count(f"lost-{what}") == 1


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ("deleteEndpoint:drop-after*1 deleteTemplate:garbage-after*1", 0),
        ("deleteEndpoint:500*1", 6),
    ],
)
def test_a_teardown_whose_answer_is_lost(
    user: Person, simulated: LocalRunPodServer, faults: str, code: int
) -> None:
    """What is gone is gone; what is left is named, and the same command deletes it."""
    user.run("setup-test", "--name", "doomed")
    with simulated.faults(*(f"graphql.{each}" for each in faults.split())):
        said = user.run("teardown", "test", "--yes")
    assert said.code == code, said.stderr
    if code:
        assert "The endpoint doomed is left. Run the same command again." in said.stderr
        assert user.run("teardown", "test", "--yes").code == 0
    for kind in ("endpoints", "templates"):
        assert "doomed" not in user.run(kind, "list").stdout


def test_two_workers_die_in_a_row(
    user: Person, simulated: LocalRunPodServer, endpoint: str
) -> None:
    """The job has failed: exit code 10."""
    with simulated.faults("worker:crash*2"):
        said = user.run("submit", "-e", endpoint, "-s", "n=1")
    assert said.code == 10
    assert "Its worker died or fell silent, and so did the next one." in said.stderr


def test_there_is_no_room_for_a_worker(user: Person, simulated: LocalRunPodServer) -> None:
    """The person is told while they wait; after the time limit the job goes on: exit code 8."""
    crowded = new_endpoint(simulated, "crowded")
    with simulated.faults("worker:throttle"):
        said = user.run("submit", "-e", crowded, "-s", "n=1", "--timeout", "2")
        health = user.run("health", crowded, "--json").document
        assert (said.code, health["workers"]["throttled"]) == (8, 1)
    job_id = said.stderr.split()[1]
    assert user.run("watch", job_id, "-e", crowded, "-q").code == 0


@pytest.mark.parametrize("fault", ["coldstart:1s*1", "coldstart:crash*1"])
def test_a_worker_takes_long_to_come(
    user: Person, simulated: LocalRunPodServer, fault: str
) -> None:
    """The job waits, and is done: exit code 0."""
    cold = new_endpoint(simulated, f"cold {fault}")
    with simulated.faults(fault) as faults:
        said = user.run("submit", "-e", cold, "-s", "n=1", "-q")
        assert faults.struck() == 1
    assert (said.code, said.stderr) == (0, "")


@pytest.mark.parametrize("fault", ["progress:delay:2s", "job-done:500*1", "job-done:drop-after*1"])
def test_what_a_real_worker_reports_is_late_or_lost(
    person: Person, runpod: LocalRunPodServer, fast: str, fault: str
) -> None:
    """The file is saved once, as if nothing had been: exit code 0."""
    with runpod.faults(fault) as faults:
        said = person.run("submit", "--task", "text_processing", "-e", fast, "-q")
        assert faults.struck() > 0
    assert (said.code, said.stderr) == (0, "")
    assert Path(said.stdout.strip()).stat().st_size > 0


def test_faults_from_the_command_line(tmp_path: Path) -> None:
    """Set, added, seen to strike, and cleared; with words and exit codes for all that is wrong."""
    person = Person(Path.cwd(), {"RUNPODCTL_LOCAL_DIR": str(tmp_path / "local")})
    nobody = person.run("local", "faults")
    assert (nobody.code, "No local RunPod runs" in nobody.stderr) == (3, True)
    try:
        for command in (("up", "--detach", "--simulate", "", "--fault"), ("faults", "set")):
            nonsense = person.run("local", *command, "run:explode")
            assert (nonsense.code, "'explode' of 'run:explode'" in nonsense.stderr) == (2, True)
            person.run("local", "up", "--detach", "--simulate", "", "--fault", "health:500*1")
        typed = person.run("local", "faults", "set", "helth:500")
        assert (typed.code, "Did you mean health? Places: run, " in typed.stderr) == (2, True)
        assert person.run("health", "nowhere", "--local").code == 3
        struck = person.run("local", "faults", "--json").document["faults"]
        assert [(each["fault"], each["struck"]) for each in struck] == [("health:500*1", 1)]
        done = person.run("local", "faults", "set", "health:404*1", "run:429*3")
        assert (done.code, done.stderr.splitlines()[0]) == (0, "✓ 2 faults set")
        added = person.run("local", "faults", "set", "--add", "status:drop@0.1", "--json").document
        assert [each["fault"] for each in added["faults"]] == ["status:drop@0.1"]
        assert person.run("health", "nowhere", "--local").code == 3
        listed = person.run("local", "faults", "--json").document["faults"]
        assert [(each["fault"], each["struck"]) for each in listed] == [
            *(("health:404*1", 1), ("run:429*3", 0), ("status:drop@0.1", 0))
        ]
        assert "3 faults set on purpose" in person.run("local", "status").stderr
        unknown = person.run("local", "faults", "clear", "run:429", "--json")
        assert (unknown.code, unknown.error["message"]) == (3, "No fault run:429 is set")
        some = person.run("local", "faults", "clear", "run:429*3")
        assert (some.code, some.stderr) == (0, "✓ 1 fault cleared, 2 left\n")
        assert person.run("local", "faults", "clear", "--json").document["faults"] == []
    finally:
        person.run("local", "down")
