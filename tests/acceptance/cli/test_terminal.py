"""At a real pseudo-terminal: what moves, what stays on the screen, and what Ctrl-C does."""

from __future__ import annotations

import json
import re
import signal
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.cli.person import CTRL_C, Person, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What the drawn line has and nothing else: a spinner's dots.
SPINNER = re.compile("[\u2800-\u28ff]")
COLOUR = re.compile(rb"\x1b\[(\d+;)*(3|4|9|10)\d(;\d+)*m")


def percents(terminal: Terminal) -> list[int]:
    """Return every percentage that the screen has shown, in order, each once."""
    found = [int(m[1]) for screen in terminal.screens if (m := re.search(r"(\d+) %", screen))]
    return list(dict.fromkeys(found))


def wait_for_file(person: Person, odd: str) -> tuple[str, ...]:
    """Return the command for a job that ends when the file `go` is there."""
    file = person.folder / "go"
    return ("submit", "-e", odd, "-s", "do=wait for", "-s", f"file={file}")


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (140, 40)])
def test_the_bar_moves_and_gives_way_to_the_result(
    person: Person, slow: str, columns: int, lines: int
) -> None:
    """In the end the screen has the job, its file and its times, and no trace of the bar."""
    with person.at_terminal(
        *("submit", "-t", "data_analysis", "-e", slow, "--duration", "35"),
        columns=columns,
        lines=lines,
    ) as terminal:
        code = terminal.until_end()
        shares = percents(terminal)
        bars = [screen for screen in terminal.screens if "━" in screen]
        (path,) = Path("outputs").glob("*.csv")
        (manifest,) = Path("outputs").glob("*.json")
        job_id = json.loads(manifest.read_text())["job_id"]
        first, blank, saved, also_blank, times, details = terminal.text.splitlines()
        assert (code, terminal.is_usable) == (0, True)
    assert (len(shares) >= 2, shares) == (True, sorted(shares))
    assert bars
    assert max(len(line) for screen in bars for line in screen.splitlines()) < columns
    assert (first, blank, also_blank) == (f"Job {job_id} on test ({slow})", "", "")
    assert saved == f"✓ {path}   {path.stat().st_size} B"
    assert re.fullmatch(r"  queued \d+\.\d s · ran \d+\.\d s · about \$\d\.\d{4}", times)
    assert details == f"  details: {manifest}"


def test_no_color_moves_without_colour(person: Person, fast: str) -> None:
    """The line is drawn in place all the same."""
    command = ("submit", "-t", "text_processing", "-e", fast)
    with person.at_terminal(*command, NO_COLOR="1") as terminal:
        assert (terminal.until_end(), terminal.is_usable) == (0, True)
        assert any(map(SPINNER.search, terminal.screens))
        assert SPINNER.search(terminal.text) is None
        assert COLOUR.search(terminal.raw) is None
        (path,) = Path("outputs").glob("*.md")
        assert f"✓ {path}" in terminal.text


def test_a_dumb_terminal_gets_plain_lines(person: Person, fast: str) -> None:
    """No escape sequence at all."""
    command = ("submit", "-t", "text_processing", "-e", fast)
    with person.at_terminal(*command, TERM="dumb") as terminal:
        assert (terminal.until_end(), b"\x1b" in terminal.raw) == (0, False)
        (path,) = Path("outputs").glob("*.md")
        assert terminal.text.startswith("queued     ")
        assert f"✓ {path}" in terminal.text


def test_a_pipe_gets_the_path_while_the_terminal_gets_the_rest(person: Person, fast: str) -> None:
    """`$(runpodctl-py submit …)`: stdout holds only the path, though a person watches."""
    script = 'said=$("$@"); echo "[$said]" > captured'
    with person.at_terminal(
        *("submit", "-t", "text_processing", "-e", fast), under=("sh", "-c", script, "sh")
    ) as terminal:
        terminal.until_end()
        assert any(map(SPINNER.search, terminal.screens))
    (path,) = Path("outputs").glob("*.md")
    assert Path("captured").read_text() == f"[{path}]\n"


def test_ctrl_c_leaves_and_the_job_goes_on(person: Person, odd: str) -> None:
    """The screen says how to come back; coming back gives the result."""
    with person.at_terminal(*wait_for_file(person, odd), columns=140) as terminal:
        terminal.until_text("running")
        terminal.type(CTRL_C)
        code = terminal.until_end()
        first, blank, detached, *hints = terminal.text.splitlines()
        assert (code, terminal.is_usable) == (130, True)
    job_id = first.split()[1]
    assert (blank, detached) == ("", "! Detached. The job goes on (and is billed).")
    assert f"  Watch it:   runpodctl-py watch {job_id[:8]}" in hints
    assert f"  Cancel it:  runpodctl-py cancel {job_id[:8]}" in hints
    assert person.run("status", job_id, "-e", odd).document["status"] == "IN_PROGRESS"
    (person.folder / "go").touch()
    assert person.run("watch", job_id, "-e", odd, "-q").stdout == "It was there.\n"


def test_ctrl_c_cancels_where_that_was_asked_for(person: Person, odd: str) -> None:
    """Exit code 130 all the same: the person interrupted, the job did not fail."""
    command = (*wait_for_file(person, odd), "--cancel-on-interrupt")
    with person.at_terminal(*command) as terminal:
        terminal.until_text("running")
        terminal.type(CTRL_C)
        code = terminal.until_end()
        first, *rest = terminal.text.splitlines()
        assert (code, terminal.is_usable) == (130, True)
    assert rest == ["", "! Interrupted; the job is cancelled."]
    asked = person.run("status", first.split()[1], "-e", odd)
    assert (asked.code, asked.document["status"]) == (11, "CANCELLED")


class _DeafRunPod(BaseHTTPRequestHandler):
    """A RunPod that takes a job and then never answers the request to cancel it."""

    protocol_version = "HTTP/1.1"
    cancel_came: threading.Event
    test_is_over: threading.Event

    def do_POST(self) -> None:
        """Queue the job; hold everything else."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.endswith("/run"):
            self.cancel_came.set()
            self.test_is_over.wait()
            return
        self._answer({"id": "j-u1", "status": "IN_QUEUE"})

    def do_GET(self) -> None:
        """Tell of a job that waits."""
        self._answer({"id": "j-u1", "status": "IN_QUEUE"})

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _answer(self, body: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def deaf_runpod() -> Iterator[tuple[str, threading.Event]]:
    """Run it, and yield its URL and what is set when it was asked to cancel."""
    came, over = threading.Event(), threading.Event()
    handler = type("Handler", (_DeafRunPod,), {"cancel_came": came, "test_is_over": over})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", came
        finally:
            over.set()
            server.shutdown()
            serving.join()


def test_a_second_ctrl_c_leaves_at_once(person: Person) -> None:
    """The first asks to cancel, and nobody answers; the second does not wait for that."""
    with deaf_runpod() as (url, cancel_came):
        urls = {"RUNPOD_API_BASE_URL": url, "RUNPOD_ENDPOINT_BASE_URL": f"{url}/v2"}
        guest = replace(person, variables={"RUNPOD_API_KEY": "key", **urls})
        command = ("submit", "-e", "any", "-s", "a=1", "--cancel-on-interrupt")
        with guest.at_terminal(*command) as terminal:
            terminal.until_text("queued")
            terminal.type(CTRL_C)
            assert cancel_came.wait(30)
            terminal.type(CTRL_C)
            code = terminal.until_end()
            assert (code, terminal.is_usable) == (130, True)
            assert "! Interrupted" in terminal.text
            assert "Traceback" not in terminal.text


def test_sigterm_leaves_the_terminal_usable(person: Person, odd: str) -> None:
    """The cursor is back, and the screen says how to come back."""
    with person.at_terminal(*wait_for_file(person, odd)) as terminal:
        terminal.until_text("queued")
        assert terminal.screen.cursor.hidden
        terminal.process.send_signal(signal.SIGTERM)
        assert (terminal.until_end(), terminal.is_usable) == (130, True)
        assert "! Detached. The job goes on" in terminal.text
        assert SPINNER.search(terminal.text) is None
    (person.folder / "go").touch()


def test_a_narrow_terminal_shows_the_whole_id(person: Person, fast: str) -> None:
    """At 30 columns the line is broken, not cut, and the drawn line stays on its row."""
    command = ("submit", "-t", "text_processing", "-e", fast)
    with person.at_terminal(*command, columns=30) as terminal:
        code = terminal.until_end()
        (manifest,) = Path("outputs").glob("*.json")
        assert (code, terminal.is_usable) == (0, True)
        assert json.loads(manifest.read_text())["job_id"] in terminal.text.replace("\n", "")
        assert SPINNER.search(terminal.text) is None


def test_lists_are_tables(person: Person, odd: str) -> None:
    """Headings and aligned columns where a person looks, not JSON."""
    with person.at_terminal("endpoints", "list", columns=140) as terminal:
        code = terminal.until_end()
        heading, *rows = (line.split() for line in terminal.text.splitlines())
    assert (code, heading) == (0, ["id", "name", "workers", "idle", "gpu"])
    assert [odd, "odd", "0-3", "600", "s", "AMPERE_16"] in rows


def test_teardown_asks_first(person: Person) -> None:
    """What will go is shown above the question; only a yes deletes."""
    made = person.run("setup-test", "--name", "asked", "--json").document["endpoint_id"]

    def answer(keys: bytes) -> tuple[int, str]:
        with person.at_terminal("teardown", "test") as terminal:
            assert made in terminal.until_text("Delete asked? [y/N]:")
            terminal.type(keys)
            code = terminal.until_end()
            assert (terminal.is_usable, "�" in terminal.text) == (True, False)
            # The blank after the question may come after the echo of the answer.
            return code, terminal.text.splitlines()[-1].lstrip()

    disagreed = "✗ asked was not deleted: you did not agree"
    assert answer(b"n\r") == (5, disagreed)
    assert answer(b"\r") == (5, disagreed)
    assert answer(CTRL_C) == (130, "! Interrupted")
    assert made in person.run("endpoints", "list").stdout
    assert answer(b"y\r") == (0, "✓ template deleted")
    assert made not in person.run("endpoints", "list").stdout


def test_teardown_with_jobs_asks_for_the_name(person: Person) -> None:
    """A yes is not enough where work would be lost; the name is."""
    person.run("setup-test", "--name", "busy", "--image", "nowhere/to-be-found")
    person.run("submit", "-s", "a=1", "--detach")
    with person.at_terminal("teardown", "test") as terminal:
        terminal.until_text("1 job is queued or running and will be lost.")
        terminal.until_text("Type busy to")
        terminal.type(b"y\r")
        assert terminal.until_end() == 5
    with person.at_terminal("teardown", "test") as terminal:
        terminal.until_text("delete it:")
        terminal.type(b"busy\r")
        assert terminal.until_end() == 0
