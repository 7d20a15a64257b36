"""What changes is seen in the browser without loading the page again."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from tests.acceptance.cli.console.browsing import send

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.cli.person import Person


def free_port() -> str:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_a_job_from_the_command_line_shows_its_image(
    newcomer: Person, visit: Callable[..., Any]
) -> None:
    """It appears, moves, ends and shows what it made, and the page is never loaded again."""
    assert newcomer.run("local", "up", "--detach").code == 0
    url = newcomer.run("local", "console").stdout.strip()
    with visit(url) as seen:
        page = seen.page
        expect(page.get_by_text("No endpoints yet.")).to_be_visible()
        command = "runpodctl-py submit --task text_processing --local"
        expect(page.get_by_text(command)).to_be_visible()
        page.evaluate("window.marker = 'the same page'")
        sent = newcomer.start("submit", "--task", "image_generation", "--local", "--json")
        row = page.locator("#jobs a")
        expect(row.locator(".state")).to_have_text("in progress")
        expect(row.locator("progress")).to_be_visible()
        expect(page.locator("#workers .state")).to_have_text("running")
        row.click()
        detail = page.locator("#detail")
        expect(detail.locator(".title-line .state")).to_have_text("in progress")
        expect(detail.locator(".title-line .state")).to_have_text("completed")
        expect(seen.part("Output").locator("img")).to_have_js_property("naturalWidth", 512)
        expect(row.locator(".state")).to_have_text("completed")
        assert page.evaluate("window.marker") == "the same page"
        assert (seen.errors, seen.is_on(url.partition("/?")[0])) == ([], True)
        sent.communicate(timeout=60)


def test_a_log_is_followed(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """Its end is in view as it grows, until somebody scrolls up to read."""
    job_id = send(person, odd, do="print", text="first", times=200)
    with console() as seen:
        seen.job(job_id).click()
        seen.page.locator("#detail a[href^='#/worker/']").click()
        log = seen.page.locator(".log")
        expect(log.get_by_text("first 199", exact=True)).to_be_in_viewport()
        seen.page.evaluate("document.querySelector('.log').scrollTop = 0")
        onward = seen.page.get_by_role("button", name="Go on following")
        expect(onward).to_be_visible()
        seen.page.locator("#jobs a").first.wait_for()
        onward.click()
        expect(onward).to_be_hidden()
        expect(seen.page.locator(".line").last).to_be_in_viewport()


def test_a_log_that_begins_earlier(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """It is said, and how to see the rest."""
    job_id = send(person, odd, do="print", text="line", times=900)
    with console() as seen:
        seen.job(job_id).click()
        seen.page.locator("#detail a[href^='#/worker/']").click()
        expect(seen.page.locator(".log").get_by_text("line 899", exact=True)).to_be_visible()
        worker_id = seen.page.locator("#detail .title-line .id").inner_text()
        detail = seen.page.locator("#detail")
        expect(detail.get_by_text("Earlier lines are not shown here.")).to_be_visible()
        expect(detail.get_by_text(f"local logs --worker {worker_id}")).to_be_visible()


def test_a_hidden_page_rests(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """It asks for nothing while nobody sees it, and is up to date as soon as somebody does."""
    turn = (
        "isHidden => { Object.defineProperty(document, 'hidden', {value: isHidden,"
        " configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }"
    )
    with console() as seen:
        seen.page.evaluate(turn, arg=True)
        job_id = send(person, odd, do="return", output="Nobody looks.")
        expect(seen.job(job_id)).to_have_count(0)
        seen.page.evaluate(turn, arg=False)
        expect(seen.job(job_id)).to_be_visible()


def test_the_local_runpod_stops_and_comes_back(newcomer: Person, visit: Callable[..., Any]) -> None:
    """The page says so, and is live again by itself; then it shows time pass, and what ends."""
    up = ("local", "up", "--detach", "--port", free_port(), "--simulate", "")
    assert newcomer.run(*up).code == 0
    with visit(newcomer.run("local", "console", "--json").document["url"]) as seen:
        status = seen.page.get_by_role("status")
        expect(status).to_have_text("live")
        newcomer.run("local", "down")
        expect(status).to_have_text("not there")
        expect(seen.page.get_by_text("The local RunPod does not answer.")).to_be_visible()
        assert newcomer.run(*up).code == 0
        expect(status).to_have_text("live")
        expect(seen.page.get_by_text("The local RunPod does not answer.")).to_be_hidden()
        newcomer.run("submit", "--task", "text_processing", "--local", "--no-save")
        expect(seen.page.locator("#jobs .state")).to_have_text("completed")
        seen.page.locator("#jobs a").click()
        expect(seen.part("Output")).to_be_visible()
        newcomer.run("local", "time", "freeze")
        newcomer.run("local", "faults", "set", "run:429*3")
        expect(seen.page.locator("#clock")).to_contain_text("time stands still at")
        expect(seen.page.locator("#faults")).to_have_text("fault run:429*3")
        newcomer.run("local", "time", "advance", "31m")
        expect(seen.page.get_by_text("This job is not there any more")).to_be_visible()
        expect(seen.page.get_by_text("No jobs any more")).to_be_visible()


def test_a_mistake_of_the_page_is_no_lost_connection(
    person: Person, odd: str, console: Callable[..., Any]
) -> None:
    """It is told as what it is, and what comes next is shown."""
    with console() as seen:
        with seen.page.expect_event("pageerror") as mistake:
            seen.page.evaluate(
                """async () => {
                    const { follow } = await import("/console/stream.js");
                    window.told = [];
                    follow("/_local/console/events", {
                        message() {
                            window.told.push("event");
                            if (window.told.length === 1) throw new TypeError("a mistake");
                        },
                        lost: () => window.told.push("lost"),
                    });
                }"""
            )
        assert mistake.value.message == "a mistake"
        send(person, odd, do="return", output=1)
        seen.page.wait_for_function("window.told.length > 1")
        assert set(seen.page.evaluate("window.told")) == {"event"}
        assert seen.errors == ["a mistake"]
        seen.errors.clear()
