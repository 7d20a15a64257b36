"""A process that sends, fetches or repeats jobs as our commands do, and is killed.

doomed.py submit POINT ENDPOINT FILE
doomed.py sync POINT
doomed.py retry POINT JOB

It kills itself with SIGKILL at POINT: `before WHAT` or `after WHAT`, where WHAT is a step of the
ledger. Nothing is cleaned up, no handler runs: as when a machine loses its power, but for the disk.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runpodctl_py import settings
from runpodctl_py.api.serverless import Serverless
from runpodctl_py.api.transport import Transport, download_client
from runpodctl_py.api.types import Job, JobRequest
from runpodctl_py.cli.context import Context
from runpodctl_py.cli.following import Session
from runpodctl_py.cli.output import Output
from runpodctl_py.cli.wish import Wish
from runpodctl_py.jobs.download import Downloader
from runpodctl_py.jobs.ledger import Filter, Home, Intent, Ledger
from runpodctl_py.jobs.sync import Syncing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runpodctl_py.jsontypes import JsonObject


class DoomedLedger(Ledger):
    """A ledger whose process does not outlive a certain step."""

    point = ""

    def intend(self, intent: Intent) -> str:
        """Write a job down."""
        with self._step("intend"):
            return super().intend(intent)

    def sent(self, key: str, job: Job) -> None:
        """Write its id down."""
        with self._step("sent"):
            super().sent(key, job)

    def found(self, key: str, job: Job) -> bool:
        """Write down an id that was looked for."""
        with self._step("found"):
            return super().found(key, job)

    def seen(self, key: str, job: Job) -> None:
        """Write its end down; what comes before is not a step here."""
        with self._step("end" if job.status.is_final else "news"):
            super().seen(key, job)

    def asked(self, key: str, job: Job) -> None:
        """Write down how one stands that was not followed."""
        with self._step("end" if job.status.is_final else "news"):
            super().asked(key, job)

    def repeating(self, key: str) -> None:
        """Write down that RunPod is about to be asked to repeat one."""
        with self._step("repeating"):
            super().repeating(key)

    def begun_anew(self, key: str) -> None:
        """Write down that RunPod repeats one."""
        with self._step("begun anew"):
            super().begun_anew(key)

    def home(self, key: str, home: Home) -> None:
        """Write down what of it is here."""
        with self._step("home"):
            super().home(key, home)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._die_at(f"before {name}")
        yield
        self._die_at(f"after {name}")

    def _die_at(self, point: str) -> None:
        if point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)


class DoomedContext(Context):
    """A command's surroundings, with such a ledger."""

    @cached_property
    def ledger(self) -> Ledger:
        """The same file as any other command's."""
        return DoomedLedger(self.settings.ledger_path)


async def submit(context: Context, endpoint_id: str, payload: JsonObject) -> None:
    """Send a job and follow it to its end."""
    async with Session(context, endpoint_id, Wish()) as session:
        await session.send_and_follow(JobRequest(payload), sync_wait_ms=None)


async def sync(context: Context) -> None:
    """Fetch what is not settled."""
    chosen, ledger = context.settings, context.ledger
    ledger.settle()
    async with (
        Transport(chosen.endpoint_base_url, chosen.api_key) as transport,
        download_client() as client,
    ):
        for record in ledger.jobs(Filter(unsettled=True)):
            syncing = Syncing(
                ledger,
                Serverless(transport, record.intent.endpoint_id),
                chosen.output_folder,
                lambda: Downloader(client),
                is_directory_meant=False,
            )
            ledger.claim(record.key)
            await syncing.bring(record)


async def retry(context: Context, job_id: str) -> None:
    """Have RunPod run a job once more, and follow it to its end."""
    record = context.ledger.find(job_id)
    async with Session(context, record.intent.endpoint_id, Wish()) as session:
        assert await session.retried(record)
        await session.watch(job_id)


if __name__ == "__main__":
    work, DoomedLedger.point, *arguments = sys.argv[1:]
    context = DoomedContext(settings.load(os.environ, Path.cwd()), Output(is_quiet=True))
    if work == "submit":
        asyncio.run(submit(context, arguments[0], json.loads(Path(arguments[1]).read_text())))
    elif work == "retry":
        asyncio.run(retry(context, *arguments))
    else:
        asyncio.run(sync(context))
    context.close()
