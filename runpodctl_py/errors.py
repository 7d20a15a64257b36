"""Every error this package raises: its code name, its exit code and the hint that goes with it.

The tree (exit code in brackets)::

    RunpodctlError                internal_error        [1]
    ├── UsageError                usage_error           [2]
    │   └── PayloadTooLargeError  payload_too_large     [2]
    ├── ConfirmationNeededError   confirmation_needed   [5]
    ├── ConflictError             conflict              [2]
    ├── RefusedError              refused               [1]
    ├── NotFoundError             not_found             [3]
    │   └── ResultExpiredError    not_found             [3]
    ├── UnauthorizedError         unauthorized          [4]
    ├── NetworkError              network_error         [6]
    │   ├── ServerError           network_error         [6]
    │   ├── RateLimitedError      rate_limited          [6]
    │   └── AnswerLostError       network_error         [6]
    ├── EmulatorError             local_error           [1]
    ├── LedgerError               ledger_error          [1]
    ├── WaitTimeoutError          wait_timeout          [8]
    ├── JobFailedError            job_failed            [10]
    ├── JobCancelledError         job_cancelled         [11]
    ├── JobTimedOutError          job_timed_out         [12]
    ├── BatchFailedError          batch_failed          [13]
    ├── SaveError                 save_failed           [14]
    └── InterruptedRunError       interrupted           [130]

This module knows nothing of terminals or HTTP; `cli/app.py` turns these into words and exit codes.
Code names are a promise to scripts: new ones may appear, existing ones never change.
"""

from __future__ import annotations

from typing import ClassVar


class RunpodctlError(Exception):
    """Something went wrong that has no better name.

    Args:
        message: What happened and why, for a person, without a trailing full stop.
        hint: What to do about it: a sentence, or the command that fixes it.
        job_id: RunPod's id of the job this is about, if it is about one.

    Attributes:
        was_told: Whether the person has read it already.
    """

    code: ClassVar[str] = "internal_error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, job_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.job_id = job_id
        self.was_told = False


class UsageError(RunpodctlError):
    """The command cannot be carried out as it was given; nothing was sent."""

    code = "usage_error"
    exit_code = 2


class PayloadTooLargeError(UsageError):
    """The body is larger than RunPod takes (API reference 4.1); nothing was sent."""

    code = "payload_too_large"


class ConfirmationNeededError(RunpodctlError):
    """Something would be deleted, and nobody was there to say yes."""

    code = "confirmation_needed"
    exit_code = 5


class ConflictError(RunpodctlError):
    """What exists already stands in the way; the hint names the flag that solves it."""

    code = "conflict"
    exit_code = 2


class RefusedError(RunpodctlError):
    """RunPod understood the request and said no, in its own words."""

    code = "refused"


class NotFoundError(RunpodctlError):
    """There is no such endpoint, template, job or file."""

    code = "not_found"
    exit_code = 3


class ResultExpiredError(NotFoundError):
    """The job was known and is gone: RunPod keeps results for 30 minutes (API reference 4.3)."""


class UnauthorizedError(RunpodctlError):
    """There is no API key, or RunPod does not accept it."""

    code = "unauthorized"
    exit_code = 4


class NetworkError(RunpodctlError):
    """RunPod could not be reached, or stopped answering, after retries."""

    code = "network_error"
    exit_code = 6


class ServerError(NetworkError):
    """RunPod answered, but not with anything usable.

    Args:
        message: What came back.
        status: The HTTP status, where there was one.
        hint: What to do about it.
    """

    def __init__(self, message: str, *, status: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class RateLimitedError(NetworkError):
    """RunPod answered 429 until we gave up (limits: API reference 4.3).

    Args:
        message: What it said.
        hint: What to do about it.
        retry_after_s: How long it asked us to wait, if it did.
    """

    code = "rate_limited"

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class AnswerLostError(NetworkError):
    """A request that must not be repeated was sent, and its answer never came.

    Whether it took effect is unknown: for `POST /run`, a job may exist and be billed.
    """


class EmulatorError(RunpodctlError):
    """The local RunPod cannot be started or used here."""

    code = "local_error"


class LedgerError(RunpodctlError):
    """The record of our jobs cannot be read or written."""

    code = "ledger_error"


class WaitTimeoutError(RunpodctlError):
    """We stopped waiting; the job goes on."""

    code = "wait_timeout"
    exit_code = 8


class JobFailedError(RunpodctlError):
    """The job ended as FAILED, or COMPLETED with an output that says it failed.

    Args:
        message: The worker's own words.
        hint: What to do about it.
        job_id: RunPod's id of the job.
        error_type: The exception's class name in the worker, if there was one.
        traceback: The worker's traceback, if it sent one.
    """

    code = "job_failed"
    exit_code = 10

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        job_id: str | None = None,
        error_type: str | None = None,
        traceback: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, job_id=job_id)
        self.error_type = error_type
        self.traceback = traceback


class JobCancelledError(RunpodctlError):
    """The job ended as CANCELLED."""

    code = "job_cancelled"
    exit_code = 11


class JobTimedOutError(RunpodctlError):
    """The job ended as TIMED_OUT: its execution timeout or its time to live passed."""

    code = "job_timed_out"
    exit_code = 12


class BatchFailedError(RunpodctlError):
    """The batch is through, and some of its rows are no success."""

    code = "batch_failed"
    exit_code = 13


class SaveError(RunpodctlError):
    """The job completed, but a file of its output could not be saved."""

    code = "save_failed"
    exit_code = 14


class InterruptedRunError(RunpodctlError):
    """The person stopped watching with Ctrl-C."""

    code = "interrupted"
    exit_code = 130
