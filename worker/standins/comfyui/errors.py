"""What can go wrong in the stand-in for worker-comfyui; messages are those of the real one."""

from __future__ import annotations


class ComfyError(Exception):
    """The job fails.

    Args:
        message: The job's error.
        details: What the output has beside it.
    """

    def __init__(self, message: str, details: list[str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class NodeError(Exception):
    """A node cannot do its work; those before it have.

    Args:
        node_type: Its class.
        node_id: Its id.
        message: What Python would say.
    """

    def __init__(self, node_type: str, node_id: str, message: str) -> None:
        super().__init__(message)
        self.words = (
            f"Workflow execution error: Node Type: {node_type}, Node ID: {node_id}, "
            f"Message: {message}"
        )
