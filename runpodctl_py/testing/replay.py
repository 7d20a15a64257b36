"""A transcript as a fixed server in a thread of its own, for tests without any RunPod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from runpodctl_py.emulator.client_variables import REPLAY_TOKEN, client_variables
from runpodctl_py.emulator.extra import require_local_extra
from runpodctl_py.emulator.threaded import Threaded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from runpodctl_py.emulator.lab.replaying import Missed


class ReplayServer:
    """A server that answers from a transcript as long as its `with` block.

    Args:
        path: The transcript, as `local record` or `LocalRunPodServer.record` wrote it.
        port: Where it listens; 0 takes any free port.
        as_recorded: Whether each answer takes as long as it took when it was recorded.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is no transcript.
        ConflictError: On entering: the port is in use.
    """

    def __init__(self, path: Path, *, port: int = 0, as_recorded: bool = False) -> None:
        require_local_extra()
        from runpodctl_py.emulator.lab.replaying import Replay
        from runpodctl_py.emulator.lab.transcript import read
        from runpodctl_py.emulator.serving import serving

        self._replay = Replay(read(path).exchanges, as_recorded=as_recorded)
        self._threaded = Threaded("replay", lambda _: serving(self._replay, port))

    @property
    def url(self) -> str:
        """Where it answers, such as http://127.0.0.1:54321."""
        return self._threaded.thing or ""

    @property
    def token(self) -> str:
        """An API key for clients that need one; any other will do, too."""
        return REPLAY_TOKEN

    @property
    def answered(self) -> int:
        """How many requests were answered."""
        return self._replay.answered

    @property
    def missed(self) -> Sequence[Missed]:
        """The requests that were refused, because no answer in the transcript fits."""
        return tuple(self._replay.missed)

    def environment(self) -> dict[str, str]:
        """Returns the variables that point official clients and our command line here (6)."""
        return client_variables(self.url, self.token)

    def __enter__(self) -> Self:
        self._threaded.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threaded.close()
