"""What can go wrong in a worker, by the error types that its answers name.

The tree (error type in brackets)::

    TaskError
    ├── InvalidInputError   [validation_error]
    ├── ProcessingError     [processing_error]
    ├── OverrunError        [timeout_error]
    ├── ResourceError       [resource_error]
    └── StoppedError        [cancelled]
    SettingError            the worker does not start
    └── WeightsError        because the model's weights are not to be had

Messages reach whoever sent the job: they name keys and variables, never the value of a secret.
"""

from __future__ import annotations

from typing import Any, ClassVar


class TaskError(Exception):
    """A job cannot be done; the subclass tells the type that the answer names.

    Args:
        message: What happened and why, for a person, without a trailing full stop.
        refresh_worker: Whether this worker should be replaced by a fresh one afterwards.
    """

    error_type: ClassVar[str]

    def __init__(self, message: str, *, refresh_worker: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.refresh_worker = refresh_worker

    def to_output(self, task_id: str | None) -> dict[str, Any]:
        """Return the documented error answer.

        The SDK moves `error` out of it and marks the job FAILED, and `refresh_worker`, after which
        RunPod stops the worker (API reference 5.6).

        Args:
            task_id: The task's id, or None when the job was refused before it became a task.
        """
        output = {
            "success": False,
            "error": self.error_type,
            "message": self.message,
            "task_id": task_id,
        }
        return {**output, "refresh_worker": True} if self.refresh_worker else output


class InvalidInputError(TaskError):
    """The job's input breaks the documented schema; sending it again cannot help."""

    error_type = "validation_error"


class ProcessingError(TaskError):
    """The work failed: the data cannot be read, the bucket refused the file, or a bug."""

    error_type = "processing_error"


class OverrunError(TaskError):
    """The work took far longer than the duration that was asked for."""

    error_type = "timeout_error"


class ResourceError(TaskError):
    """The worker lacks what the job needs: memory, disk space, pixels, a bucket."""

    error_type = "resource_error"


class StoppedError(TaskError):
    """The job was cancelled; nobody waits for its answer any more."""

    error_type = "cancelled"


class SettingError(Exception):
    """An environment variable of the worker itself is wrong."""


class WeightsError(SettingError):
    """The model's weights are in none of the places where they are looked for."""
