"""The web console in a real browser, Debian's Chromium, with jobs from the command line."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import socket
import wave
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from runpodctl_py.jobs.progress import read_progress
from tests.acceptance.cli.person import Person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runpodctl_py.testing import LocalRunPodServer

PATIENCE_MS = 30_000
NEEDED = "RUNPODCTL_TESTS_NEED_CHROMIUM"
HOSTILE = "<img src=x onerror='window.hit = 1'><script>window.hit = 1</script>"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser."""
    path = shutil.which("chromium")
    if path is None:
        words = "there is no Chromium: apt-get install chromium"
        if os.environ.get(NEEDED):
            pytest.fail(words)
        pytest.skip(words)
    # Its sandbox cannot be made by root.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


class Visit:
    """A page, and what became of it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on(
            "console", lambda said: self.errors.append(said.text) if said.type == "error" else None
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def job(self, job_id: str) -> Locator:
        """Returns a job's row in the list."""
        return self.page.locator(f"#jobs a[href$='{job_id}']")

    def part(self, name: str) -> Locator:
        """Returns a part of the open job: Input, Output, Error or Progress."""
        return self.page.locator(f"#detail [data-part={name}]")

    def is_on(self, origin: str) -> bool:
        """Whether every request went there, or to the page's own memory."""
        return all(each.startswith((f"{origin}/", "blob:", "data:")) for each in self.requests)


@pytest.fixture
def visit(chromium: Browser) -> Callable[..., Any]:
    """Opens a page in a browser that has never been here."""

    @contextmanager
    def opened(url: str, **options: Any) -> Iterator[Visit]:
        context = chromium.new_context(**options)
        visit = Visit(context.new_page())
        visit.page.goto(url)
        yield visit
        context.close()

    return opened


@pytest.fixture
def console(runpod: LocalRunPodServer, visit: Callable[..., Any]) -> Callable[..., Any]:
    """Opens the console of the RunPod that the tests share; it must make no mistake."""

    @contextmanager
    def opened(**options: Any) -> Iterator[Visit]:
        with visit(f"{runpod.url}/", **options) as seen:
            seen.page.get_by_label("Or paste the key").fill(runpod.token)
            seen.page.get_by_role("button", name="Look").click()
            expect(seen.page.get_by_role("status")).to_have_text("live")
            # The way in is an answer 401, which the browser notes.
            seen.errors.clear()
            yield seen
            assert seen.errors == []
            assert seen.is_on(runpod.url), seen.requests

    return opened


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Person]:
    """Somebody whose local RunPod has a place of its own, and workers that take their time."""
    variables = {"RUNPODCTL_LOCAL_DIR": str(tmp_path / "data"), "WORKER_TIME_SCALE": "0.1"}
    person = Person(Path.cwd(), variables)
    yield person
    person.run("local", "down")


def send(person: Person, endpoint_id: str, **fields: Any) -> str:
    """Send a job to an odd worker, and return its id when it has ended."""
    given = [
        flag for key, each in fields.items() for flag in ("--set", f"{key}:={json.dumps(each)}")
    ]
    said = person.run("submit", "-e", endpoint_id, *given, "--no-save", "--json")
    assert said.events, said.stderr
    job_id: str = said.events[0]["id"]
    return job_id


def beep() -> str:
    """Return half a second of silence as WAV, in base64."""
    told = io.BytesIO()
    with wave.open(told, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    return base64.b64encode(told.getvalue()).decode()


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


def test_sound_can_be_played(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """Base64 under any key, recognised by its first bytes."""
    job_id = send(person, odd, do="return", output={"voice": [{"what": beep()}]})
    with console() as seen:
        seen.job(job_id).click()
        expect(seen.part("Output").get_by_text("voice[0].what")).to_be_visible()
        expect(seen.part("Output").locator("audio")).to_have_js_property("duration", 0.5)


def test_why_a_job_failed(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """Its traceback, as lines."""
    job_id = send(person, odd, do="raise", message="The model is too large.")
    with console() as seen:
        expect(seen.job(job_id).locator(".state")).to_have_text("failed")
        seen.job(job_id).click()
        error = seen.page.locator("pre.error")
        expect(error).to_contain_text("ValueError: The model is too large.")
        assert len(error.inner_text().splitlines()) > 3


def test_what_others_send_stays_text(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """As input, as output, as key, as error and in the log; no link is followed by itself."""
    link = "https://nowhere.example/picture.png"
    output = {HOSTILE: [HOSTILE, "javascript:window.hit=1", link, f"data:text/html,{HOSTILE}"]}
    returned = send(person, odd, do="return", output=output)
    raised = send(person, odd, do="raise", message=HOSTILE)
    with console() as seen:
        for job_id, name in ((returned, "Output"), (raised, "Error")):
            seen.job(job_id).click()
            expect(seen.part(name)).to_contain_text(HOSTILE)
            expect(seen.part("Input")).to_contain_text(HOSTILE)
        seen.page.locator("#detail a[href^='#/worker/']").click()
        expect(seen.page.locator(".log")).to_contain_text("<img src=x")
        seen.job(returned).click()
        linked = seen.page.locator(f"a[href='{link}']")
        assert linked.first.get_attribute("rel") == "noreferrer noopener"
        assert seen.page.locator("a[href^='javascript:'], #detail img, #detail script").count() == 0
        assert seen.page.evaluate("window.hit") is None


def test_long_strings_are_shortened(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """With a way to see all of one; an image's are told by what they are."""
    job_id = send(person, odd, do="return", output={"long": "é" * 5000, "pixel": PIXEL})
    with console() as seen:
        seen.job(job_id).click()
        output = seen.part("Output")
        expect(output.locator("figcaption")).to_have_text("pixel image/png, 70 B")
        button = output.get_by_role("button", name="all 5,000 characters")
        expect(output.locator(".json")).not_to_contain_text("é" * 5000)
        button.click()
        expect(output.locator(".json")).to_contain_text("é" * 5000)


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
        expect(seen.job(newer)).to_be_focused()
        page.keyboard.press("Enter")
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
        assert list(dict.fromkeys(places)) == ["show-keys", "endpoints", "jobs"]


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


def test_progress_is_read_as_the_command_line_reads_it(console: Callable[..., Any]) -> None:
    """The same percent, words and steps of whatever workers send."""
    updates: list[Any] = [
        *(0, 41.5, 140, -3, True, None, [], {}, "", "  Loading\n the model ", "{broken"),
        {"progress": 30, "current_step": "Drawing", "step": 3, "total_steps": 10},
        {"percent": 12.5, "message": "x" * 300},
        {"step": 3, "total_steps": 12},
        {"value": 5, "max": 20, "text": "a\u202eb"},
        {"step": None, "value": 5, "max": 0, "status": 7, "stage": "last"},
        '{"type": "progress", "data": {"value": 7, "max": 28, "node": "KSampler"}}',
        {"data": {"value": 1, "max": 4}},
        {"something": "else"},
    ]
    with console() as seen:
        read = seen.page.evaluate(
            "async updates => (await import('/console/progress.js'))"
            " && updates.map((await import('/console/progress.js')).readProgress)",
            updates,
        )
    ours = [read_progress(each) for each in updates]
    assert read == [
        each
        and {
            "percent": each.percent,
            "text": each.text,
            "step": each.step,
            "total": each.total_steps,
        }
        for each in ours
    ]


def test_contents_are_recognised(console: Callable[..., Any]) -> None:
    """By their first bytes, as base64 or data URI; what is no content is a string."""
    heads = {
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"\xff\xd8\xff\xe0": "image/jpeg",
        b"GIF89a": "image/gif",
        b"RIFF0000WEBP": "image/webp",
        b"RIFF0000WAVE": "audio/wav",
        b"ID3\x04": "audio/mpeg",
        b"\xff\xfb\x90": "audio/mpeg",
        b"OggS": "audio/ogg",
        b"fLaC": "audio/flac",
        b"\x00\x00\x00\x20ftypisom": "video/mp4",
        b"\x00\x00\x00\x20ftypM4A ": "audio/mp4",
        b"\x00\x00\x00\x20ftypavif": "image/avif",
        b"\x1a\x45\xdf\xa3": "video/webm",
        b"# A report\n\nIt has lines, and an \xc3\xa9.": "text/plain",
        bytes(range(200, 240)): None,
    }
    strings = {
        base64.b64encode(head + (b"\x00" * 60 if kind != "text/plain" else b"")).decode(): kind
        for head, kind in heads.items()
    }
    strings |= {
        f"data:image/png;base64,{PIXEL}": "image/png",
        "data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg'/>": "image/svg+xml",
        "data:text/plain;charset=utf-8,hello": "text/plain",
        "data:application/pdf;base64,JVBERi0=": None,
        "data:image/png;base64,###": None,
        "data: that is what we need": None,
        "34cd776e-dcbd-4cb6-941c-a7fe789890d2-u1": None,
        "a" * 64: None,
        "A sentence that is long enough to be looked at, but is only a sentence.": None,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": None,
        "": None,
    }
    with console() as seen:
        recognised = seen.page.evaluate(
            "async strings => { const { recognise } = await import('/console/media.js');"
            " return strings.map(each => recognise(each)?.type ?? null); }",
            list(strings),
        )
    assert dict(zip(strings, recognised, strict=True)) == strings


def test_the_command_opens_the_browser_at_a_terminal_only(newcomer: Person, tmp_path: Path) -> None:
    """In a pipe it prints the link and nothing else; without a local RunPod it says what to do."""
    nobody = newcomer.run("local", "console")
    assert (nobody.code, "local up --detach" in nobody.stderr) == (3, True)
    up = newcomer.run("local", "up", "--detach", "--simulate", "")
    assert "Console:            runpodctl-py local console" in up.stderr
    opened = tmp_path / "opened"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    script.chmod(0o755)
    browser = {"BROWSER": f"{script} %s"}
    piped = newcomer.run("local", "console", **browser)
    assert piped.stdout.startswith("http://127.0.0.1:")
    assert (piped.stdout.count("\n"), "it works once" in piped.stderr) == (1, True)
    with newcomer.at_terminal("local", "console", "--no-open", **browser) as terminal:
        assert terminal.until_end() == 0
    assert not opened.exists()
    with newcomer.at_terminal("local", "console", columns=120, **browser) as terminal:
        assert terminal.until_end() == 0
    assert terminal.text.splitlines()[1] == "✓ Opened in your browser"
    assert opened.read_text() == f"{terminal.text.splitlines()[0]}\n"
    with newcomer.at_terminal("local", "console", columns=120, BROWSER="", DISPLAY="") as terminal:
        assert terminal.until_end() == 0
    assert "Open it in a browser within a minute" in terminal.text
