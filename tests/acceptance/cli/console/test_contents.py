"""What jobs hold, in the browser: images, sounds, errors, long texts, and whatever is hostile."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from runpodctl_py.jobs.progress import read_progress
from tests.acceptance.cli.console.browsing import PIXEL, beep, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.cli.person import Person

HOSTILE = "<img src=x onerror='window.hit = 1'><script>window.hit = 1</script>"


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


def test_a_text_of_megabytes(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """It is shown in pieces, none of which is so large that the page stands still, or saved."""
    job_id = send(person, odd, do="return text", text="A story, \U0001f600. ", times=700_000)
    length = len("A story, xx. ") * 700_000
    with console() as seen:
        seen.job(job_id).click()
        output = seen.part("Output")
        pieces = output.locator(".piece")
        expect(pieces).to_have_count(1)
        for count in (1, 2, 3):
            output.get_by_role("button", name=f"100,000 characters more of {length:,}").click()
            expect(pieces).to_have_count(count)
        sizes = [len(each) for each in pieces.all_text_contents()]
        assert max(sizes) <= 100_001
        expect(output.locator(".json")).to_contain_text("A story, \U0001f600. " * 20_000)
        expect(output.locator(".json")).not_to_contain_text("\\ud83d")
        with seen.page.expect_download() as saved:
            output.get_by_role("button", name="download").click()
        assert saved.value.path().read_text("utf-8") == "A story, \U0001f600. " * 700_000


def test_an_error_of_megabytes(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """As well."""
    job_id = send(person, odd, do="raise", message="It is lost. ", times=60_000)
    with console() as seen:
        seen.job(job_id).click()
        pieces = seen.page.locator("pre.error .piece")
        expect(pieces).to_have_count(1)
        seen.part("Error").get_by_role("button", name="100,000 characters more of").click()
        expect(pieces).to_have_count(2)
        expect(seen.part("Error").get_by_role("button", name="download")).to_be_visible()


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


def test_large_contents_are_no_trouble(console: Callable[..., Any]) -> None:
    """As large as a result may be: each is decoded once, and by no generator."""
    with console() as seen:
        generated, kinds, decoded = seen.page.evaluate(
            """async head => {
                const { Recogniser } = await import("/console/media.js");
                const large = head + "A".repeat(20e6 - head.length);
                const words = "cGxhaW4g".repeat(10);
                const odd = [" ", "=", " =", "A= ", "\\n"].map(
                    (each) => words + each.repeat(100000) + "!");
                const decode = window.atob;
                const generate = Uint8Array.from;
                let decoded = 0, generated = 0;
                Uint8Array.from = () => {
                    generated += 1;
                    return new Uint8Array();
                };
                window.atob = (given) => {
                    if (given.length > 100) decoded += 1;
                    return decode(given);
                };
                const recogniser = new Recogniser();
                let kinds;
                for (let n = 0; n < 3; n++) {
                    const value = JSON.parse(JSON.stringify({ large, again: [large], odd }));
                    recogniser.begin();
                    kinds = [...recogniser.contentsOf(value)].map(
                        ({ path, content }) => `${path} ${content.type} ${content.bytes.length}`);
                    recogniser.recognise(value.large);
                }
                window.atob = decode;
                Uint8Array.from = generate;
                return [generated, kinds, decoded];
            }""",
            PIXEL[:64],
        )
    assert kinds == ["large image/png 15000000", "again[0] image/png 15000000"]
    assert (decoded, generated) == (1 + 5, 0)


def test_a_large_output_is_shown(person: Person, odd: str, console: Callable[..., Any]) -> None:
    """Its bytes are decoded once for its picture and its text together."""
    job_id = send(person, odd, do="return bytes", times=800_000)
    with console() as seen:
        seen.page.evaluate(
            """() => {
                const decode = window.atob;
                window.decoded = 0;
                window.atob = (given) => {
                    if (given.length > 100) window.decoded += 1;
                    return decode(given);
                };
            }"""
        )
        seen.job(job_id).click()
        words = "image/png, 6.4 MB"
        expect(seen.part("Output").locator("figcaption")).to_have_text(f"images[0] {words}")
        expect(seen.part("Output").locator(".json .what")).to_have_text(words)
        assert seen.page.evaluate("window.decoded") == 1
