"""The console's doors, and what it shows; the streams themselves are tested over HTTP."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.emulator import console
from runpodctl_py.emulator.console.doors import (
    SESSION_S,
    TICKET_S,
    Doors,
    is_this_machine,
)
from runpodctl_py.emulator.console.view import View
from runpodctl_py.emulator.jobs.job import Policy
from runpodctl_py.emulator.lab.faults import Faults

if TYPE_CHECKING:
    from conftest import World

    from runpodctl_py.testing import FakeClock


@pytest.fixture
def doors(clock: FakeClock) -> Doors:
    """The doors of an emulator with some key."""
    return Doors("rpa_local", clock)


@pytest.fixture
def view(world: World) -> View:
    """A view of the world."""
    return View(world.state, Faults(lambda: world.state.ids.sequence("faults")))


def jobs_in(view: View) -> list[dict[str, Any]]:
    """Returns the jobs of the only endpoint in an overview that could be sent."""
    (endpoint,) = json.loads(json.dumps(view.overview()))["endpoints"]
    return list(endpoint["latest"])


class TestDoors:
    """Tickets, sessions and hosts."""

    def test_a_ticket_is_good_once(self, doors: Doors) -> None:
        """And so is each of several."""
        first, second = doors.issue_ticket(), doors.issue_ticket()
        given = [first, first, second, "none", "", "\udcff\u20ac"]
        assert [doors.use_ticket(each) for each in given] == [True, False, True, *[False] * 3]

    def test_a_ticket_is_good_for_a_minute(self, doors: Doors, clock: FakeClock) -> None:
        """Not a moment longer, and one that was too old is gone."""
        early, late = doors.issue_ticket(), doors.issue_ticket()
        clock.advance(TICKET_S - 0.001)
        assert doors.use_ticket(early)
        clock.advance(0.001)
        assert not doors.use_ticket(late)

    def test_tickets_do_not_pile_up(self, doors: Doors) -> None:
        """Of a thousand, the last ones are good."""
        tickets = [doors.issue_ticket() for _ in range(1000)]
        assert [doors.use_ticket(each) for each in (tickets[0], tickets[-1])] == [False, True]
        assert len(doors._tickets) < 100

    def test_a_session_outlives_a_restart(self, doors: Doors, clock: FakeClock) -> None:
        """As long as the key stays the same, for a month."""
        session = doors.open_session()
        assert Doors("rpa_local", clock).admits(session)
        assert not Doors("rpa_other", clock).admits(session)
        clock.advance(SESSION_S)
        assert not doors.admits(session)

    @pytest.mark.parametrize(
        "forge",
        [
            lambda _: "",
            lambda _: "..",
            lambda session: session[:-1],
            lambda session: "9" + session,
            lambda session: session.rpartition(".")[0],
            lambda session: session.replace(".", "\u20ac", 1),
        ],
        ids=["nothing", "dots", "cut", "later", "unsigned", "odd"],
    )
    def test_a_session_is_not_to_be_forged(self, doors: Doors, forge: Any) -> None:
        """Whatever is changed of it, it is none of ours."""
        assert not doors.admits(forge(doors.open_session()))

    def test_only_the_key_is_the_key(self, doors: Doors) -> None:
        """Not a part of it, and nothing that is no text."""
        given = ["rpa_local", "rpa_loca", "", "\udcff"]
        assert [doors.is_key(each) for each in given] == [True, False, False, False]

    def test_hosts(self) -> None:
        """This machine has three names; others may only lead to it."""
        ours = ["127.0.0.1:8765", "localhost:1", "LOCALHOST", "[::1]:8765", "[::1]"]
        others = [
            "",
            "evil.example:8765",
            "127.0.0.1.evil.example",
            "localhost.evil:80",
            ":",
        ]
        assert [is_this_machine(each) for each in (*ours, *others)] == [True] * 5 + [False] * 5


class TestOverview:
    """What is shown of everything."""

    def test_a_job_from_queue_to_end(self, world: World, view: View) -> None:
        """Its place, then its progress, then how long it took; never what it was given."""
        endpoint = world.endpoint()
        job = world.submit(endpoint)
        (queued,) = jobs_in(view)
        assert (queued["status"], queued["place"], queued["startedAt"]) == ("IN_QUEUE", 1, None)
        worker = world.worker(endpoint)
        world.state.fleet.take(worker, 1)
        world.state.fleet.progress(worker.id, job.id, {"progress": 40})
        (running,) = jobs_in(view)
        assert (running["status"], running["progress"]) == ("IN_PROGRESS", {"progress": 40})
        world.clock.advance(3)
        world.state.fleet.result(worker.id, job.id, {"output": "x" * 10_000})
        (done,) = jobs_in(view)
        assert (done["status"], done["finishedAt"] - done["startedAt"]) == ("COMPLETED", 3)
        assert {"progress", "place", "input", "outcome"}.isdisjoint(done)

    def test_no_jobs_hide_the_others(self, world: World, view: View) -> None:
        """Behind hundreds that wait and were completed: what runs, what failed, and when."""
        endpoint = world.endpoint()
        (job, worker), (running, _) = world.running(endpoint), world.running(endpoint)
        world.state.fleet.result(worker.id, job.id, {"error": "no"})
        completed = []
        for _ in range(120):
            done = world.submit(endpoint)
            world.state.fleet.take(worker, 1)
            world.clock.advance(1)
            world.state.fleet.result(worker.id, done.id, {"output": 1})
            completed.append(done.id)
        waiting = [world.submit(endpoint).id for _ in range(300)]
        shown = jobs_in(view)
        waits = [*waiting[:30], *waiting[-20:]]
        assert [each["id"] for each in shown] == [running.id, *waits, *completed[:19:-1], job.id]
        assert {each["id"]: each.get("place") for each in shown}[waiting[-1]] == 300
        assert view.overview()["endpoints"][0]["hasMore"]

    @pytest.mark.parametrize("count", [50, 51])
    def test_whether_there_are_more(self, count: int, world: World, view: View) -> None:
        """It is said when it is so, and not when all are listed."""
        endpoint = world.endpoint()
        for _ in range(count):
            world.submit(endpoint)
        assert len(jobs_in(view)) == 50
        assert view.overview()["endpoints"][0]["hasMore"] is (count > 50)

    def test_what_ended_on_a_deleted_endpoint(self, world: World, view: View) -> None:
        """Is not remembered for ever."""
        for _ in range(3):
            endpoint = world.endpoint()
            job, worker = world.running(endpoint)
            world.state.fleet.result(worker.id, job.id, {"output": 1})
            world.state.delete_endpoint(endpoint.id)
        assert len(view._ended) == 1

    def test_a_job_that_ended_twice(self, world: World, view: View) -> None:
        """What is remembered of a final job is its last end, also if nobody looked in between."""
        endpoint = world.endpoint()
        job, worker = world.running(endpoint)
        world.state.fleet.result(worker.id, job.id, {"error": "no"})
        assert jobs_in(view)[0]["status"] == "FAILED"
        world.state.retry(endpoint.id, job.id)
        world.state.fleet.take(worker, 1)
        world.clock.advance(5)
        world.state.fleet.result(worker.id, job.id, {"output": 1})
        (done,) = jobs_in(view)
        assert (done["status"], done["finishedAt"]) == ("COMPLETED", world.clock.now())

    def test_a_result_whose_time_is_up(self, world: World, view: View) -> None:
        """Is not shown, swept away or not; its end rings for who shows everything."""
        endpoint = world.endpoint()
        job, worker = world.running(endpoint)
        world.state.fleet.result(worker.id, job.id, {"output": 1})
        assert len(jobs_in(view)) == 1
        world.clock.advance(1800)
        assert jobs_in(view) == []
        world.rung.clear()
        world.state.sweep()
        assert world.rung[0] == "changes"

    def test_a_large_progress_update(self, world: World, view: View) -> None:
        """Is left to the job's own page, however it is built."""
        endpoint = world.endpoint()
        job, worker = world.running(endpoint)
        for update in ("x" * 3000, [[{"deep": ["y" * 500] * 5}]], dict.fromkeys(range(3000))):
            world.state.fleet.progress(worker.id, job.id, update)
            assert "progress" not in jobs_in(view)[0]

    def test_workers(self, world: World, view: View) -> None:
        """Each with its state and its jobs; one that has to go says so."""
        endpoint = world.endpoint()
        job, worker = world.running(endpoint)
        world.state.delete_endpoint(endpoint.id)
        (shown,) = view.overview()["workers"]
        assert (shown["id"], shown["state"], shown["leaving"]) == (worker.id, "IDLE", True)
        assert shown["jobs"] == []
        assert "changes" in world.rung
        assert job.id not in str(view.overview())


def test_a_bucket_is_not_shown(world: World, view: View) -> None:
    """A job's own bucket comes with keys."""
    endpoint = world.endpoint()
    given = {"input": {"n": 1}, "s3Config": {"accessId": "an id", "accessSecret": "a secret"}}
    job = world.state.submit(endpoint.id, given, Policy(), sync=False)
    shown = view.job(job)
    assert (shown["input"], shown["hasBucket"], shown["outcome"]) == ({"n": 1}, True, {})
    assert "secret" not in json.dumps(shown)


@pytest.mark.parametrize(
    ("webhook", "shown"),
    [
        (None, None),
        ("https://host.example/done", "https://host.example/done"),
        ("https://u:pw@host.example:81/done?token=abc", "https://…@host.example:81/done?…"),
        ("https://host.example/done#abc", "https://host.example/done?…"),
        ("https://u:p@w@[::1]/", "https://…@[::1]/"),
        ("http://[abc", "(no URL)"),
    ],
)
def test_a_webhooks_secrets_are_not_shown(
    webhook: str | None, shown: str | None, world: World, view: View
) -> None:
    """Only where it leads."""
    endpoint = world.endpoint()
    job = world.state.submit(endpoint.id, {"input": {}, "webhook": webhook}, Policy(), sync=False)
    assert view.job(job)["webhook"] == shown


class TestPalette:
    """The page's colours, light and dark."""

    @pytest.mark.parametrize("index", [0, 1], ids=["light", "dark"])
    def test_all_text_is_readable(self, index: int) -> None:
        """Every colour of text on every ground it may stand on: 4.5 to 1 (WCAG AA)."""
        style = resources.files(console).joinpath("static/console.css").read_text("utf-8")
        blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
        colours = dict(re.findall(r"--(\w+): #([0-9a-f]{6});", blocks[index]))
        texts = ["text", "soft", "accent", "grey", "blue", "green", "red", "amber"]
        grounds = ["panel", "raised", "chosen"]
        pairs = {(text, ground) for text in texts for ground in grounds}
        weak = {pair for pair in pairs if contrast(*(colours[each] for each in pair)) < 4.5}
        assert weak == set()


def contrast(one: str, other: str) -> float:
    """Returns how much two colours differ in lightness, as WCAG counts."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Returns a colour's relative luminance."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares
    ]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
