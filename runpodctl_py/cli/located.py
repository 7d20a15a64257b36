"""From what a person typed for a job to the job: its whole id, its endpoint, its RunPod.

The ledger knows the jobs that our own commands have sent; others need their whole id and
an endpoint.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py import settings as settings_module
from runpodctl_py.cli.context import endpoint_id
from runpodctl_py.cli.options import Common
from runpodctl_py.cli.output import Output
from runpodctl_py.errors import (
    ConflictError,
    LedgerError,
    NotFoundError,
    RefusedError,
    ResultExpiredError,
    RunpodctlError,
    UsageError,
)

if TYPE_CHECKING:
    from runpodctl_py.cli.context import Context
    from runpodctl_py.cli.options import Target
    from runpodctl_py.jobs.ledger import Ledger, Place, Record
    from runpodctl_py.settings import Settings

_MOST_COMPLETED = 50
_SHORTEST = 4


def _ids(incomplete: str) -> list[str]:
    """Return the ids that a shell may complete; nothing is made or said."""
    with suppress(RunpodctlError):
        path = load_settings(Common()).ledger_path
        if path.exists():
            with open_ledger() as ledger:
                return ledger.ids(incomplete, _MOST_COMPLETED)
    return []


_HELP = "The job's id, as submit prints it; its beginning will do."
JobId = Annotated[str, typer.Argument(metavar="JOB", help=_HELP, autocompletion=_ids)]
JOBS = typer.Argument(metavar="JOB...", help=_HELP, autocompletion=_ids)
JobIds = Annotated[
    list[str] | None, typer.Argument(metavar="[JOB...]", help=_HELP, autocompletion=_ids)
]


@dataclass(frozen=True)
class Located:
    """A job that a command is about.

    Args:
        job_id: RunPod's id.
        common: Where to go; with `--local` if the job is on the local RunPod.
        target: The endpoint as the person named it, if they did.
        record: The job as the ledger knows it, if it does.
    """

    job_id: str
    common: Common
    target: Target
    record: Record | None = None

    @property
    def preset(self) -> str | None:
        """The preset the job belongs to, if we know."""
        return self.target.preset or (self.record.intent.preset if self.record else None)

    def endpoint_id(self, context: Context) -> str:
        """Return the job's endpoint: as it was named, as the ledger knows it, or the usual one."""
        if self.record is not None:
            return self.record.intent.endpoint_id
        from runpodctl_py.presets import loading

        preset = loading.load(self.target.preset) if self.target.preset else None
        return endpoint_id(context.settings, self.target.endpoint, preset)


def load_settings(common: Common) -> Settings:
    """Return the settings as they are without a local RunPod."""
    return settings_module.load(
        os.environ, Path.cwd(), env_path=common.env_file, api_key_file=common.api_key_file
    )


def open_ledger(common: Common | None = None) -> Ledger:
    """Return the ledger; a context. It opens its file when it is first asked."""
    from runpodctl_py.jobs.ledger import Ledger

    return Ledger(load_settings(common or Common()).ledger_path)


def locate(text: str, target: Target, common: Common) -> Located:
    """Return the job that a text means.

    Raises:
        UsageError: It means several, or is too short to mean one.
        ConflictError: It is on another RunPod than the settings name.
        RefusedError: It has no id: it never was sent, or nobody knows.
    """
    if len(text) < _SHORTEST:
        raise UsageError(f"{text!r} is no job's id", hint="Type at least its first 4 characters.")
    named = Located(text, common, target)
    if target.endpoint or target.preset:
        return named
    settings = load_settings(common)
    if not settings.ledger_path.exists():
        return named
    with open_ledger(common) as ledger:
        try:
            ledger.settle()
            record = ledger.find(text)
        except NotFoundError:
            # Not ours: its id and an endpoint still lead to it.
            return named
        except LedgerError as exc:
            Output(as_json=common.as_json).warn(exc.message)
            return named
    if record.job_id is None:
        raise without_id(record)
    where = placed(record.intent.place, f"Job {record.short_id}", common, settings)
    return Located(record.job_id, where, target, record)


def placed(place: Place, what: str, common: Common, settings: Settings) -> Common:
    """Return the options that lead to the RunPod that something is on.

    Raises:
        ConflictError: They lead to another one.
    """
    if not place.is_local:
        if common.local or place.root != settings.endpoint_base_url:
            raise ConflictError(
                f"{what} is on {place.root}",
                hint="Leave out --local."
                if common.local
                else f"Say so:  RUNPOD_ENDPOINT_BASE_URL={place.root}",
            )
        return common
    from runpodctl_py.emulator.data_folder import FOLDER_VARIABLE, data_folder

    if Path(place.root) != data_folder(os.environ):
        raise ConflictError(
            f"{what} is on another local RunPod, the one in {place.root}",
            hint=f"Say so:  {FOLDER_VARIABLE}={place.root}",
        )
    return replace(common, local=True)


def without_id(record: Record) -> RefusedError:
    """Return what is to be said of a job that RunPod may not know."""
    from runpodctl_py.jobs.ledger import State

    if record.state is State.SENDING:
        return RefusedError(f"Job {record.key} is being sent by another command")
    if record.state is State.NOT_SENT:
        return RefusedError(
            f"Job {record.key} was never queued: {record.error}",
            hint=f"Send it again:  runpodctl-py jobs retry {record.key}",
        )
    return RefusedError(
        f"Nobody knows whether job {record.key} was ever queued: {record.error}",
        hint=f"Look for it:       runpodctl-py jobs sync\nOr send it again:  {anew(record)}",
    )


def anew(record: Record) -> str:
    """Return how a job that may exist is sent once more."""
    if record.is_payload_whole:
        return f"runpodctl-py jobs retry {record.key} --force"
    return "runpodctl-py submit, as before: its secrets are not written down"


def gone(record: Record) -> NotFoundError:
    """Return what is to be said of a job of ours that RunPod does not know any more."""
    if record.saved_at is not None:
        return NotFoundError(
            f"RunPod does not know job {record.short_id} any more; what it returned is here",
            hint=f"Where:  runpodctl-py jobs show {record.short_id}",
            job_id=record.job_id,
        )
    return ResultExpiredError(
        f"RunPod does not know job {record.short_id} any more, and its result was never fetched",
        hint="RunPod keeps a result for 30 minutes after the job ends, and none of an endpoint "
        f"that is deleted.\nSend it again:  runpodctl-py jobs retry {record.short_id} --force",
        job_id=record.job_id,
    )
