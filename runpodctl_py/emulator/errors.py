"""RunPod's own refusals: status codes and words, as an API answers them.

These never leave the emulator as exceptions; `app.py` and `graphql/answering.py` turn them into
answers. What went wrong with the emulator itself is an `EmulatorError`.
"""

from __future__ import annotations

from http import HTTPStatus

WORKER_LOST = "job timed out after 1 retries"
"""What a job says whose worker died twice (observed; API reference 4.3)."""

EXECUTION_TIMEOUT = "executionTimeout exceeded"
"""What a job says that ran longer than its execution timeout."""

UNAUTHORIZED = "Unauthorized"


class ControlPlaneError(Exception):
    """The control plane says no in a sentence: GraphQL code `RUNPOD`, HTTP 200 (1.1)."""


class JobApiError(Exception):
    """The job API refuses a request.

    The bodies of RunPod's own refusals are in no source (API reference 4.4); the status codes
    are, and clients look at nothing else.

    Args:
        status: The HTTP status.
        message: What is wrong, for a person.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_request(message: str) -> JobApiError:
    """Returns the refusal of a body or parameter that cannot be used."""
    return JobApiError(HTTPStatus.BAD_REQUEST, message)


def endpoint_not_found(endpoint_id: str) -> JobApiError:
    """Returns the refusal for an endpoint that does not exist."""
    return JobApiError(HTTPStatus.NOT_FOUND, f"endpoint {endpoint_id} not found")


def job_not_found(job_id: str) -> JobApiError:
    """Returns the refusal for a job that never was, or whose result has expired."""
    return JobApiError(HTTPStatus.NOT_FOUND, f"job {job_id} not found")


def worker_quota_exceeded(quota: int, left: int) -> ControlPlaneError:
    """Returns RunPod's words for too many workers (observed; API reference 1.4).

    Args:
        quota: How many workers all endpoints may have together.
        left: How many of them this endpoint could still ask for.
    """
    return ControlPlaneError(
        f"Max workers across all endpoints must not exceed your workers quota ({quota}). Reduce "
        f"the max workers for other endpoints or lower the max worker count for this endpoint to "
        f"at most {left}."
    )
