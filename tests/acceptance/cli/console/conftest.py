"""Debian's Chromium, and somebody who looks at a console with it."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.acceptance.cli.console.browsing import PATIENCE_MS, Visit
from tests.acceptance.cli.person import Person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runpodctl_py.testing import LocalRunPodServer

NEEDED = "RUNPODCTL_TESTS_NEED_CHROMIUM"


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
