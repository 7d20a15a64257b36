"""A page of the console in a browser, and odd jobs to look at."""

from __future__ import annotations

import base64
import io
import json
import wave
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.acceptance.cli.person import Person

PATIENCE_MS = 30_000
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


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
