"""A handler of somebody's tests behind an endpoint of a local RunPod.

Owns making the endpoint, sending it jobs and deleting it. Sends jobs by plain requests; RunPod's
own clients work on the same endpoint.
"""

from __future__ import annotations

import secrets
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from runpodctl_py.emulator.workers.handlers import default_name
from runpodctl_py.emulator.workers.logs import message_of, parse
from runpodctl_py.errors import EmulatorError, WaitTimeoutError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from runpodctl_py.testing.server import LocalRunPodServer

_ASK_LIMIT_S = 30.0
"""Longer than the local RunPod waits for the first worker of a handler."""
_LONGEST_WAIT_S = 300.0
"""What RunPod takes as `wait` (API reference 4.1)."""
_SHORTEST_WAIT_S = 1.0
_IDLE_TIMEOUT_S = 300
"""A test's endpoint keeps its worker until it is deleted."""


@dataclass(frozen=True, slots=True)
class LocalEndpoint:
    """An endpoint that serves a handler.

    Args:
        id: RunPod's id of it, for any client.
        url: The root of its job API, such as http://127.0.0.1:54321/v2/abc.
        server: The local RunPod it is on.
    """

    id: str
    url: str
    server: LocalRunPodServer

    def run(self, job_input: Any) -> str:
        """Sends a job, as `POST /run` does, and returns its id."""
        return str(self._ask("POST", "run", json={"input": job_input})["id"])

    def runsync(self, job_input: Any, timeout_s: float = 60.0) -> dict[str, Any]:
        """Sends a job and waits until it has ended, however it ends.

        Args:
            job_input: Its input.
            timeout_s: How long to wait at most; RunPod waits 1 to 300 s.

        Returns:
            RunPod's answer: `status`, and `output` or `error`, with `delayTime` and
            `executionTime` in milliseconds.

        Raises:
            WaitTimeoutError: It has not ended by then; it goes on.
        """
        wait_s = min(max(timeout_s, _SHORTEST_WAIT_S), _LONGEST_WAIT_S)
        answer = self._ask(
            "POST",
            "runsync",
            json={"input": job_input},
            params={"wait": round(wait_s * 1000)},
            timeout=wait_s + _ASK_LIMIT_S,
        )
        if answer["status"] in {"IN_QUEUE", "IN_PROGRESS"}:
            raise WaitTimeoutError(
                f"the job is {answer['status']} after {wait_s:g} s", job_id=answer["id"]
            )
        return answer

    def status(self, job_id: str) -> dict[str, Any]:
        """Returns a job as it is now, as `GET /status/{id}` does."""
        return self._ask("GET", f"status/{job_id}")

    def logs(self) -> str:
        """Returns what its workers have written so far, but the SDK's own lines for debugging."""
        folder = self.server.data_folder / "logs" / self.id
        texts = [
            parse(line).text
            for path in sorted(folder.glob("*.log"))
            for line in path.read_text("utf-8", "replace").split("\n")
        ]
        messages = map(message_of, texts)
        shown = [
            text
            for text, message in zip(texts, messages, strict=True)
            if message is None or message.level != "DEBUG"
        ]
        return "\n".join(shown)

    def _ask(self, method: str, operation: str, **request: Any) -> dict[str, Any]:
        return _ask(self.server, method, f"/v2/{self.id}/{operation}", **request)


@contextmanager
def served(
    server: LocalRunPodServer,
    handler: Path,
    *,
    env: Mapping[str, str],
    args: Sequence[str],
    python: str | os.PathLike[str] | None,
    workers_max: int,
) -> Iterator[LocalEndpoint]:
    """Serves a handler's file for as long as the block lasts.

    Its first worker is up when the block begins, unless that takes more than 20 s.

    Args:
        server: The local RunPod that serves it.
        handler: The Python file that calls `runpod.serverless.start`.
        env: Variables of its workers.
        args: The file's own arguments.
        python: The interpreter that runs it, with the `runpod` package; by default this one.
        workers_max: How many workers there may be at once.

    Raises:
        EmulatorError: There is no such file, or it ended before it could take a job; its last
            words are told.
    """
    if not handler.is_file():
        raise EmulatorError(f"there is no handler {handler}")
    # One file may be served twice at once.
    name = f"{default_name(handler)}-{secrets.token_hex(3)}"
    made = _ask(server, "POST", "/v2/serverless", json=_endpoint(name, env, workers_max))
    endpoint = LocalEndpoint(made["id"], f"{server.url}/v2/{made['id']}", server)
    try:
        _start(server, name, handler, args, Path(python or sys.executable))
        yield endpoint
    finally:
        _delete(server, endpoint.id)


def _endpoint(name: str, env: Mapping[str, str], workers_max: int) -> dict[str, Any]:
    return {
        "name": name,
        # No worker is started from this one: the handler takes its place at once.
        "image": "local/handler",
        "type": "QUEUE",
        "gpu": {"pools": ["AMPERE_16"]},
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
        "workers": {"min": 0, "max": workers_max, "idleTimeout": _IDLE_TIMEOUT_S},
        "env": dict(env),
    }


def _start(
    server: LocalRunPodServer, name: str, handler: Path, args: Sequence[str], python: Path
) -> None:
    described = {
        "name": name,
        "path": str(handler.absolute()),
        # Not resolved: a virtual environment's interpreter is a link, and means its own folder.
        "python": str(python.absolute()),
        "args": list(args),
    }
    answer = _ask(server, "POST", "/_local/handlers", json=described)
    if answer["worker"]["state"] == "UNHEALTHY":
        words = "\n".join(f"  {line}" for line in answer["log"])
        raise EmulatorError(f"{handler.name} ended before it could take a job:\n{words}")


def _delete(server: LocalRunPodServer, endpoint_id: str) -> None:
    path = f"/v2/serverless/{endpoint_id}"
    with suppress(_GoneError):  # The test has deleted it itself.
        # A strict RunPod asks for this first.
        _ask(server, "PATCH", path, json={"workers": {"min": 0, "max": 0}})
        _ask(server, "DELETE", path)


class _GoneError(EmulatorError):
    """The local RunPod knows nothing of the kind."""


def _ask(server: LocalRunPodServer, method: str, path: str, **request: Any) -> dict[str, Any]:
    """Asks a local RunPod and returns its answer.

    Raises:
        EmulatorError: It refused; its words are told.
    """
    key = {"Authorization": f"Bearer {server.token}"}
    request = {"timeout": _ASK_LIMIT_S, **request}
    try:
        # A proxy that is set for the machine must not see a local request.
        answer = httpx.request(
            method, f"{server.url}{path}", headers=key, trust_env=False, **request
        )
    except httpx.HTTPError as error:
        raise EmulatorError(f"{method} {path}: {str(error) or type(error).__name__}") from error
    if answer.is_error:
        kind = _GoneError if answer.status_code == HTTPStatus.NOT_FOUND else EmulatorError
        raise kind(f"{method} {path}: HTTP {answer.status_code}, {answer.text}")
    return dict(answer.json()) if answer.content else {}
