"""Using the console: by keyboard, on a phone, by address, and from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from tests.acceptance.cli.console.browsing import PIXEL, send

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runpodctl_py.testing import LocalRunPodServer
    from tests.acceptance.cli.person import Person

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def test_by_keyboard_alone(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """From the page's start to a job's output and back; and the keys are told."""
    older = send(person, odd, do="return", output="The older one.")
    newer = send(person, odd, do="return", output="The newer one.")
    with console() as seen:
        page = seen.page
        expect(seen.job(newer)).to_be_visible()
        page.keyboard.press("j")
        expect(seen.job(newer)).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(seen.job(older)).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#detail")).to_contain_text('"The older one."')
        expect(page.get_by_role("heading", name="Job", exact=True)).to_be_focused()
        page.keyboard.press("k")
        expect(page.locator("#detail")).to_contain_text('"The newer one."')
        expect(page.get_by_role("heading", name="Job", exact=True)).to_be_focused()
        page.keyboard.press("j")
        expect(page.locator("#detail")).to_contain_text('"The older one."')
        page.keyboard.press("k")
        expect(page.locator("#detail")).to_contain_text('"The newer one."')
        page.keyboard.press("Escape")
        expect(page.locator("#detail")).to_be_hidden()
        expect(seen.job(newer)).to_be_focused()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_everything_is_reached_with_tab(
    person: Person, odd: str, console: Callable[..., Any]
) -> None:
    """And what has the focus shows it."""
    job_id = send(person, odd, do="return", output="It is here.")
    with console() as seen:
        expect(seen.job(job_id)).to_be_visible()

        def place_after(key: str) -> Any:
            seen.page.keyboard.press(key)
            focused = "document.activeElement"
            assert seen.page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
            return seen.page.evaluate(f"{focused}.closest('[id]').id")

        # The list of jobs may be long: what comes after it is reached from the end.
        assert place_after("Shift+Tab") == "workers"
        seen.page.reload()
        expect(seen.job(job_id)).to_be_visible()
        places = [place_after("Tab")]
        while places[-1] != "jobs":
            places.append(place_after("Tab"))
        assert list(dict.fromkeys(places)) == ["show-keys", "endpoints", "groups", "jobs"]


def test_on_a_phone(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """One column, nothing to scroll sideways, however long words are; what is open fills it."""
    long = "w" * 400
    job_id = send(person, odd, do="return", output={long: long, "text": PIXEL})
    raised = send(person, odd, do="raise", message=long)
    with console(**PHONE) as seen:
        page = seen.page
        width = (
            "[document.documentElement, document.getElementById('detail')].map("
            "each => each.scrollWidth - each.clientWidth)"
        )
        expect(seen.job(job_id)).to_be_visible()
        assert page.evaluate(width) == [0, 0]
        assert seen.job(job_id).bounding_box()["height"] >= 44
        seen.job(job_id).tap()
        expect(seen.part("Output").locator("img")).to_be_visible()
        assert page.evaluate(width) == [0, 0]
        page.get_by_role("button", name="Close").tap()
        expect(page.locator("#detail")).to_be_hidden()
        seen.job(raised).tap()
        page.locator("#detail a[href^='#/worker/']").tap()
        expect(page.locator(".log")).to_contain_text(long)
        assert page.evaluate(width) == [0, 0]


def test_the_next_job_on_a_phone(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """It opens, for its row is hidden behind the one that is open."""
    older = send(person, odd, do="return", output="The older one.")
    newer = send(person, odd, do="return", output="The newer one.")
    with console(**PHONE) as seen:
        seen.job(newer).tap()
        expect(seen.part("Output")).to_contain_text("The newer one.")
        seen.page.keyboard.press("j")
        expect(seen.part("Output")).to_contain_text("The older one.")
        assert seen.page.evaluate("location.hash").endswith(older)
        seen.page.get_by_role("button", name="Close").tap()
        expect(seen.page.locator("#detail")).to_be_hidden()


def test_jobs_by_state(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """Those of one state, by keyboard, too, each with its number."""
    done = send(person, odd, do="return", output="It is here.")
    raised = send(person, odd, do="raise", message="It is lost.")
    with console() as seen:
        page = seen.page
        groups = page.get_by_role("group", name="Which jobs")
        failed = groups.get_by_role("button", name="failed or cancelled")
        expect(seen.job(done)).to_be_visible()
        failed.focus()
        page.keyboard.press("Enter")
        expect(failed).to_have_attribute("aria-pressed", "true")
        expect(seen.job(raised)).to_be_visible()
        expect(seen.job(done)).to_be_hidden()
        expect(failed.locator(".number")).to_have_text(str(page.locator("#jobs a").count()))
        groups.get_by_role("button", name="in queue").click()
        expect(page.get_by_text("None at the moment.")).to_be_visible()
        expect(page.locator("#jobs a")).to_have_count(0)
        groups.get_by_role("button", name="all").click()
        expect(seen.job(done)).to_be_visible()


def test_the_order_of_the_list(console: Callable[..., Any]) -> None:
    """What runs, what is next, what has ended; each with the latest, or the next, first."""
    ended = {"startedAt": 1, "queuedAt": 1}
    queued = {"status": "IN_QUEUE", "startedAt": None, "finishedAt": None}
    jobs = [
        {"id": "completed", "status": "COMPLETED", "finishedAt": 8, **ended},
        {"id": "far", "queuedAt": 3, **queued},
        {"id": "further", "queuedAt": 4, **queued},
        {"id": "second", "queuedAt": 5, "place": 2, **queued},
        {"id": "failed", "status": "FAILED", "finishedAt": 9, **ended},
        {"id": "cancelled", "status": "CANCELLED", "finishedAt": 7, **ended},
        {"id": "next", "queuedAt": 6, "place": 1, **queued},
        {"id": "running", "status": "IN_PROGRESS", "queuedAt": 1, "startedAt": 5},
        {"id": "begun", "status": "IN_PROGRESS", "queuedAt": 2, "startedAt": 6},
    ]
    counts = {"inQueue": 1234, "inProgress": 2, "completed": 70, "failed": 20, "retried": 0}
    with console() as seen:
        listed, numbers = seen.page.evaluate(
            """async endpoint => {
                const { showJobs } = await import("/console/jobs.js");
                showJobs([endpoint], { endpointId: null, group: "", address: "" });
                return ["#jobs .id", "#groups .number"].map((each) =>
                    [...document.querySelectorAll(each)].map((found) => found.textContent));
            }""",
            {"id": "e", "name": "any", "hasMore": True, "jobs": counts, "latest": jobs},
        )
    running, waiting = ["begun", "running"], ["next", "second", "far", "further"]
    assert listed == [*running, *waiting, "failed", "completed", "cancelled"]
    assert numbers == ["1,239", "2", "1,234", "1", "2"]


def test_many_faults_are_counted(runpod: LocalRunPodServer, console: Callable[..., Any]) -> None:
    """They unfold, and a few are named at once."""
    with console(**PHONE) as seen:
        faults, counted = seen.page.locator("#faults li"), seen.page.get_by_text("42 faults")
        with runpod.faults(*(f"run:429@{n}" for n in range(100, 142))):
            expect(counted).to_be_visible()
            expect(faults.first).to_be_hidden()
            counted.focus()
            seen.page.keyboard.press("Enter")
            expect(faults.first).to_be_visible()
            expect(faults).to_have_count(42)
            assert seen.page.locator("header").bounding_box()["height"] < 844 / 2
        expect(faults).to_have_count(0)
        with runpod.faults("run:429@100", "run:429@101"):
            expect(faults.first).to_be_visible()
            expect(counted).to_be_hidden()


def test_the_command_opens_the_browser_at_a_terminal_only(
    newcomer: Person, visit: Callable[..., Any], tmp_path: Path
) -> None:
    """In a pipe it prints the link and nothing else; without a local RunPod it says what to do."""
    nobody = newcomer.run("local", "console")
    assert (nobody.code, "local up --detach" in nobody.stderr) == (3, True)
    up = newcomer.run("local", "up", "--detach", "--simulate", "")
    assert "Console:            runpodctl-py local console" in up.stderr
    opened, data = tmp_path / "opened", tmp_path / "data"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    script.chmod(0o755)
    browser = {"BROWSER": f"{script} %s"}
    piped = newcomer.run("local", "console", **browser)
    assert piped.stdout.startswith("http://127.0.0.1:")
    assert (piped.stdout.count("\n"), "it works once" in piped.stderr) == (1, True)
    with newcomer.at_terminal("local", "console", "--no-open", **browser) as terminal:
        assert terminal.until_end() == 0
    assert (opened.exists(), (data / "console.html").exists()) == (False, False)
    with newcomer.at_terminal("local", "console", columns=120, **browser) as terminal:
        assert terminal.until_end() == 0
    assert terminal.text.splitlines()[1] == "✓ Opened in your browser"
    # Not the link: other users of this machine can read command lines, but not that file.
    page = data / "console.html"
    assert opened.read_text() == f"{page.as_uri()}\n"
    assert (oct(page.stat().st_mode)[-3:], oct(data.stat().st_mode)[-3:]) == ("600", "700")
    with visit(page.as_uri()) as seen:
        expect(seen.page.get_by_role("status")).to_have_text("live")
        assert seen.page.url == f"{terminal.text.splitlines()[0].partition('?')[0]}"
    with newcomer.at_terminal("local", "console", columns=120, BROWSER="", DISPLAY="") as terminal:
        assert terminal.until_end() == 0
    assert "Open it in a browser within a minute" in terminal.text


def test_an_endpoint_that_is_deleted_is_left(
    person: Person, odd: str, console: Callable[..., Any]
) -> None:
    """Whoever looked at it sees the others, instead of nothing."""
    job_id = send(person, odd, do="return", output="It is here.")
    told = person.run("setup-test", "--name", "short-lived", "--json").document
    with console() as seen:
        page = seen.page
        page.locator(f"#endpoints a[href$='{told['endpoint_id']}']").click()
        expect(page.get_by_role("heading", name="Jobs of short-lived")).to_be_visible()
        expect(seen.job(job_id)).to_be_hidden()
        assert person.run("teardown", told["endpoint_id"], "--yes").code == 0
        expect(seen.job(job_id)).to_be_visible()
        expect(page.get_by_text("No endpoints yet.")).to_be_hidden()
        expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
        assert page.evaluate("location.hash") == "#/"


def test_an_address_that_nobody_made(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """It leads to the overview, typed in or opened."""
    job_id = send(person, odd, do="return", output="It is here.")
    with console() as seen:
        for address in ("#/job/%E0%A4%A/x", "#/worker/%", "#/job/only", "#/endpoint/none", "#no"):
            seen.page.evaluate("address => { location.hash = address; }", address)
            expect(seen.job(job_id)).to_be_visible()
            seen.page.evaluate("address => { location.hash = address; }", address)
            seen.page.reload()
            expect(seen.job(job_id)).to_be_visible()
            expect(seen.page.locator("#detail")).to_be_hidden()
