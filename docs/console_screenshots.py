"""Draw the web console as `docs/console-desktop.png` and `docs/console-phone.png`.

Run it in an environment with the `dev` extra, where Debian's Chromium is installed:
    python docs/console_screenshots.py
A local RunPod with workers of the official SDK gets some jobs: an image, a sound, one that fails,
some that are under way and some that wait. The workers run this same file.
"""

from __future__ import annotations

import base64
import io
import math
import os
import shutil
import struct
import sys
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, expect, sync_playwright

from runpodctl_py.testing import LocalRunPodServer, WorkerCommand
from worker.tasks.content.picture import Picture

FOLDER = Path(__file__).parent
RATE_HZ, SECONDS = 8000, 1.5
WIDTH, HEIGHT = 640, 360
SLOW_STEPS, HALF_WAY = 40, 62


def handler(job: dict[str, Any]) -> Any:
    """Paint, sing, fail, or be half-way for as long as the pictures are taken."""
    import runpod

    asked = job["input"]
    if "say" in asked:
        return {"audio": base64.b64encode(sound()).decode(), "sample_rate": RATE_HZ}
    if "lora" in asked:
        raise FileNotFoundError(f"no LoRA {asked['lora']!r} in /runpod-volume/loras")
    if asked["steps"] == SLOW_STEPS:
        update = {"progress": HALF_WAY, "message": "Denoising", "step": 25, "total_steps": 40}
        runpod.serverless.progress_update(job, update)
        time.sleep(600)
    picture = Picture(asked["prompt"], WIDTH, HEIGHT)
    for step in picture.steps:
        step.work()
    image = base64.b64encode(picture.content().data).decode()
    return {"images": [image], "seed": 42, "parameters": {"steps": asked["steps"], "cfg": 6.5}}


def sound() -> bytes:
    """Return a tone as a WAV file."""
    told = io.BytesIO()
    with wave.open(told, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        waves = (math.sin(2 * math.pi * 440 * n / RATE_HZ) for n in range(int(RATE_HZ * SECONDS)))
        file.writeframes(b"".join(struct.pack("<h", int(12000 * each)) for each in waves))
    return told.getvalue()


class Account:
    """Somebody who makes endpoints and sends jobs."""

    def __init__(self, server: LocalRunPodServer) -> None:
        key = {"Authorization": f"Bearer {server.token}"}
        self._http = httpx.Client(base_url=server.url, headers=key, timeout=60)

    def endpoint(self, name: str, workers: int) -> str:
        """Make an endpoint and return its id."""
        fields = {
            "name": name,
            "image": f"you/{name}:1.4.0",
            "type": "QUEUE",
            "gpu": {"pools": ["ADA_24"]},
            "workers": {"min": workers, "max": workers},
            "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
        }
        made = self._http.post("/v2/serverless", json=fields)
        made.raise_for_status()
        return str(made.json()["id"])

    def send(self, endpoint_id: str, *, until: str = "", **given: Any) -> str:
        """Send a job, wait until it has a status, and return its id."""
        sent = self._http.post(f"/v2/{endpoint_id}/run", json={"input": given})
        job_id = str(sent.json()["id"])
        while until and self._status(endpoint_id, job_id) != until:
            time.sleep(0.1)
        return job_id

    def ticket(self) -> str:
        """Return the path that lets a browser in."""
        return str(self._http.post("/_local/console/tickets").json()["path"])

    def _status(self, endpoint_id: str, job_id: str) -> str:
        return str(self._http.get(f"/v2/{endpoint_id}/status/{job_id}").json()["status"])


def fill(account: Account) -> str:
    """Have some jobs done, and return the address of the one with a picture."""
    sdxl, voice = account.endpoint("sdxl-turbo", 2), account.endpoint("chatterbox-tts", 1)
    account.send(voice, say="Good evening.", voice="nova", until="COMPLETED")
    account.send(sdxl, prompt="a portrait", steps=4, lora="oil-v2", until="FAILED")
    painted = account.send(
        sdxl, prompt="a lighthouse in the storm", steps=6, until="COMPLETED", negative="people"
    )
    for prompt in ("a red fox in the snow", "a city at dawn"):
        account.send(sdxl, prompt=prompt, steps=SLOW_STEPS, until="IN_PROGRESS")
    for prompt in ("a paper boat", "an old map", "a greenhouse at night"):
        account.send(sdxl, prompt=prompt, steps=6)
    return f"#/job/{sdxl}/{painted}"


def is_settled(page: Page) -> None:
    """Wait until the page shows all of it."""
    expect(page.get_by_text(f"{HALF_WAY} %").first).to_be_visible()
    expect(page.locator("figure img")).to_have_js_property("naturalWidth", WIDTH)


def main() -> None:
    """Fill a local RunPod and take the pictures."""
    images = {
        f"you/{name}:1.4.0": WorkerCommand([sys.executable, "-u", __file__])
        for name in ("sdxl-turbo", "chatterbox-tts")
    }
    env = {"PYTHONPATH": str(FOLDER.parent)}
    chromium = shutil.which("chromium")
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalRunPodServer(Path(folder), images=images, worker_env=env) as server,
        sync_playwright() as playwright,
    ):
        account = Account(server)
        address = fill(account)
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        for name, width, height in (("desktop", 1280, 800), ("phone", 390, 844)):
            size, is_phone = {"width": width, "height": height}, name == "phone"
            page = browser.new_page(viewport=size, is_mobile=is_phone, has_touch=is_phone)
            page.goto(f"{server.url}{account.ticket()}")
            page.wait_for_selector("#jobs a")
            if not is_phone:
                page.goto(f"{server.url}/{address}")
                is_settled(page)
            page.screenshot(path=FOLDER / f"console-{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    if "RUNPOD_WEBHOOK_GET_JOB" in os.environ:
        import runpod

        runpod.serverless.start({"handler": handler})
    else:
        main()
