"""Ctrl-C leaves a batch and loses none of it: what was sent is fetched, the rest is sent later."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.testing import LocalRunPodServer, Simulation
from tests.acceptance.cli.batch_scene import (
    OUT,
    batch_run,
    inputs_at,
    resting,
    results,
    rows_at,
    set_to_work,
    until_sent,
    write_rows,
)
from tests.acceptance.cli.ledger_scene import SimulatedRunPod, endpoint
from tests.acceptance.cli.person import PATIENCE_S, Person, Said

if TYPE_CHECKING:
    from tests.acceptance.cli.ledger_scene import LedgerScene


def ended(running: subprocess.Popen[str]) -> Said:
    """Wait for a command's end."""
    stdout, stderr = running.communicate(timeout=PATIENCE_S)
    return Said(running.returncode, stdout, stderr)


def interrupted(scene: LedgerScene, user: Person, endpoint_id: str, *more: str) -> Said:
    """Run a batch of four rows until RunPod has all of them, and press Ctrl-C."""
    running = user.start(*batch_run(scene, endpoint_id), *more)
    until_sent(scene, endpoint_id, 4, running)
    running.send_signal(signal.SIGINT)
    return ended(running)


def work_done(scene: LedgerScene, endpoint_id: str) -> None:
    """Have an endpoint do what waits, and wait until it is done."""
    set_to_work(scene.server, endpoint_id)
    for each in scene.asked(f"{endpoint_id}/requests")["requests"]:
        shown = scene.asked(f"{endpoint_id}/status-sync/{each['id']}", wait=60_000)
        assert shown["status"] == "COMPLETED"


def test_ctrl_c_leaves_and_resume_goes_on(scene: LedgerScene, user: Person) -> None:
    """Exit code 130 and how to go on; what was sent is picked up, and nothing is sent twice."""
    names = write_rows(6)
    there = resting(scene.server, "left")
    said = interrupted(scene, user, there, "--concurrency", "4", "--json")
    assert (said.code, said.error["error"], said.events[-1]["stop"]) == (
        130,
        "interrupted",
        "interrupted",
    )
    last = said.events[-1]
    assert (last["ended"], last["running"], last["unknown"], last["left"]) == (0, 4, 0, 6)
    again = f"runpodctl-py batch resume {last['id']} --concurrency 4"
    assert said.error["hint"] == f"Go on:  {again}"
    work_done(scene, there)
    resumed = user.run("batch", "resume", last["id"], "--json")
    assert (resumed.code, resumed.stderr) == (0, "")
    assert (resumed.events[-1]["succeeded"], resumed.events[-1]["sent"]) == (6, 2)
    assert (rows_at(scene, there), len(results())) == (names, 6)


def test_what_another_command_fetched_is_not_asked_for_again(
    scene: LedgerScene, user: Person
) -> None:
    """`jobs sync` between Ctrl-C and `resume` brings the rows home, files and all."""
    write_rows(4)
    there = resting(scene.server, "fetched")
    said = interrupted(scene, user, there)
    assert (said.code, said.stderr.count("4 jobs were sent already")) == (130, 1)
    batch_id = scene.records()[0].intent.batch_id or ""
    assert f"    runpodctl-py batch resume {batch_id}\n" in said.stderr
    work_done(scene, there)
    # `jobs sync` asks without waiting, and a batch waits for the answer.
    with scene.server.faults("run:401", "status-sync:401"):
        said = user.run_all([["jobs", "sync"], ["batch", "resume", batch_id]])
    *_, last = said.stdout.splitlines()
    assert (last, "✓ 4 of 4 done, all of them before" in said.stderr) == ("out/results.csv", True)
    assert [(each["row"], each["ok"]) for each in results()] == [
        (f"r{number}", True) for number in range(4)
    ]
    for each in results():
        (file,) = each["files"]
        assert (OUT / file["path"]).stat().st_size == file["bytes"]


def test_a_second_ctrl_c_leaves_at_once(scene: LedgerScene, user: Person) -> None:
    """While the answers are waited for; what they would have said is found out later."""
    names = write_rows(4)
    there = resting(scene.server, "twice")
    with scene.server.faults("run:delay:30s") as faults:
        running = user.start(*batch_run(scene, there), "--json")
        while faults.struck() < 4:
            with suppress(subprocess.TimeoutExpired):
                running.wait(0.05)
        while running.poll() is None:
            running.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                running.wait(0.1)
        said = ended(running)
    assert (said.code, said.error["error"]) == (130, "interrupted")
    set_to_work(scene.server, there)
    resumed = user.run(*said.error["hint"].split()[3:], "--json")
    assert (resumed.code, resumed.events[-1]["succeeded"]) == (0, 4), resumed
    assert (rows_at(scene, there), len(results())) == (names, 4)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nobody says what a process reads")
def test_ctrl_c_while_a_large_file_is_read(scene: LedgerScene, user: Person) -> None:
    """It ends at once: nothing is begun, and no folder made."""
    path = Path("rows.csv").absolute()
    path.write_text("row,text\n" + "".join(f"{number},hello\n" for number in range(100_000)))
    running = user.start(*batch_run(scene, scene.quick, "--json", file="rows.csv"))
    while str(path) not in read_by(running.pid):
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    said = ended(running)
    assert (said.code, said.error["error"], said.stdout) == (130, "interrupted", "")
    assert (OUT.exists(), scene.records(), inputs_at(scene, scene.quick)) == (False, [], [])


def read_by(process_id: int) -> set[str]:
    """Return the paths of the files that a process has open."""
    found = set()
    for each in Path(f"/proc/{process_id}/fd").iterdir():
        with suppress(OSError):  # It has been closed meanwhile.
            found.add(str(each.readlink()))
    return found


def test_runpod_that_comes_back_is_waited_for(tmp_path: Path, user: Person) -> None:
    """Jobs that were sent before it went away are done and fetched by the same command."""
    names = write_rows(3)
    simulation = Simulation(delay_s=0.05)
    with LocalRunPodServer(tmp_path / "runpod", simulation=simulation) as server:
        there = endpoint(server, "away", workers_max=0)
        person = Person(user.folder, server.environment())
        scene = SimulatedRunPod(server, there, there).scene(person.run)
        running = person.start(*batch_run(scene, there), "--json")
        until_sent(scene, there, 3, running)
        port = int(server.url.rpartition(":")[2])
    with LocalRunPodServer(tmp_path / "runpod", simulation=simulation, port=port) as server:
        set_to_work(server, there)
        said = ended(running)
        scene = SimulatedRunPod(server, there, there).scene(person.run)
        assert (said.code, said.events[-1]["succeeded"]) == (0, 3), said.stderr
        assert (rows_at(scene, there), len(results())) == (names, 3)
