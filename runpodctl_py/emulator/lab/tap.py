"""Writing down what a local RunPod in another process is asked, from its `/_local/exchanges`."""

from __future__ import annotations

import http.client
import json
import secrets
import threading
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING

from runpodctl_py.emulator.lab.exchange_api import CUT_OFF
from runpodctl_py.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runpodctl_py.emulator.lab.transcript import TranscriptFile

_PATIENCE_S = 10.0


class Tap:
    """Writes exchanges to a file, in a thread of its own, from `begin` to `close`.

    Args:
        port: Where the local RunPod answers.
        token: Its key.
        on_end: Called, in that thread, when nothing more will be written.
    """

    def __init__(self, port: int, token: str, on_end: Callable[[], None] = lambda: None) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}"}
        self._on_end = on_end
        self._name = secrets.token_hex(8)
        self._connection = self._connected()
        self._answer: http.client.HTTPResponse | None = None
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self.was_left = False
        """Whether the local RunPod has stopped meanwhile."""
        self._was_cut_off = ""

    def open(self) -> None:
        """Begins to listen; what comes before `begin` is not lost.

        Raises:
            EmulatorError: The local RunPod does not let us listen.
        """
        try:
            self._connection.request(
                "GET", f"/_local/exchanges?name={self._name}", headers=self._headers
            )
            answer = self._connection.getresponse()
            is_there = answer.status == HTTPStatus.OK and bool(answer.readline())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise EmulatorError("the local RunPod cannot be listened to") from error
        if not is_there:
            answer.close()
            self._connection.close()
            raise EmulatorError(
                "the local RunPod that runs cannot be listened to",
                hint="Is it of an older version? Stop it:  runpodctl-py local down",
            )
        if self._connection.sock is not None:
            # A day may pass without a request.
            self._connection.sock.settimeout(None)
        self._answer = answer

    def begin(self, file: TranscriptFile) -> None:
        """Begins to write what has been heard."""
        if self._answer is not None:
            self._thread = threading.Thread(
                target=self._write, args=(self._answer, file), name="tap", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Ends when all has been written that was complete by now.

        Raises:
            EmulatorError: The recording ended before, because we were too slow.
        """
        if self._is_closing:
            return
        self._is_closing = True
        try:
            with closing(self._connected()) as connection:
                connection.request(
                    "DELETE", f"/_local/exchanges/{self._name}", headers=self._headers
                )
                connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            # It has stopped, and the stream with it.
            self.was_left = True
        if self._thread is not None:
            self._thread.join()
        self._connection.close()
        if self._was_cut_off:
            raise EmulatorError(f"The recording broke off: {self._was_cut_off}")

    def _connected(self) -> http.client.HTTPConnection:
        # Not through urllib: a proxy set for the machine must not see a local request.
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE_S)

    def _write(self, answer: http.client.HTTPResponse, file: TranscriptFile) -> None:
        try:
            while (line := answer.readline()).endswith(b"\n"):
                if line.startswith(f'{{"{CUT_OFF}"'.encode()):
                    self._was_cut_off = json.loads(line)[CUT_OFF]
                    return
                file.add_line(line.decode().rstrip("\n"))
                if file.failure is not None:
                    return
            self.was_left = not self._is_closing
        except (OSError, http.client.HTTPException):
            self.was_left = True
        finally:
            # Of what cannot be written, nothing need wait for us.
            answer.close()
            self._connection.close()
            self._on_end()
