"""Handlers of the person's own: which there are, and the endpoint each of them serves.

A handler is a file that a process of this machine runs. On the local RunPod it stands behind a
template's image, `local/NAME:NUMBER`; each new number is a release, whose workers run the file as
it is by then. Watching files is `reloading.py`'s business, processes are `processes.py`'s.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runpodctl_py.emulator.config import WorkerCommand
from runpodctl_py.emulator.control.plane import EndpointDraft, TemplateDraft

if TYPE_CHECKING:
    from runpodctl_py.emulator.control.model import Endpoint, Template
    from runpodctl_py.emulator.state import State
    from runpodctl_py.emulator.store import Snapshot, Store

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What a handler may be called: it is a part of an image's name, too."""

_KIND = "handler"
_IMAGE = re.compile(rf"local/({NAME.pattern}):(\d+)")
_TELL_NOTHING = frozenset({"app", "handler", "main", "rp_handler", "src", "worker"})
_IDLE_TIMEOUT_S = 300
"""Nobody pays for a worker here, and a person who develops comes back to it."""

_EXECUTION_TIMEOUT_MS = 600_000
"""What RunPod's console gives new endpoints: a handler that hangs must not do so for a day."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler as a person names it.

    Args:
        name: Its endpoint's name.
        path: The file, absolute.
        python: The interpreter that runs it, absolute.
        args: The file's own arguments.

    Raises:
        ValueError: The name cannot be part of an image's name.
    """

    name: str
    path: Path
    python: Path
    args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for it")

    @property
    def command(self) -> WorkerCommand:
        """How a worker of it is started: in the file's folder, as a person would."""
        argv = [str(self.python), "-u", str(self.path), *self.args]
        return WorkerCommand(argv, cwd=self.path.parent)


def default_name(path: Path) -> str:
    """Returns what a handler is called if nobody says: its file, or the folder if that tells more.

    `handler.py` in `my-model/` is called `my-model`, and `upscale.py` anywhere `upscale`.
    """
    told = path.stem if path.stem not in _TELL_NOTHING else path.absolute().parent.name
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", told).strip("-_.") or path.stem


class Handlers:
    """The handlers that this local RunPod knows, also after a restart.

    Args:
        store: Where they are kept.
        kept: What it held at the start.
    """

    def __init__(self, store: Store, kept: Snapshot) -> None:
        self._store = store
        self._known = {each["name"]: _handler(each) for each in kept.of(_KIND)}

    def of_image(self, image_name: str) -> Handler | None:
        """Returns the handler that stands behind an image, if one does."""
        named = _IMAGE.fullmatch(image_name)
        return self._known.get(named[1]) if named else None

    def clear(self) -> None:
        """Forgets all of them; the store has been emptied."""
        self._known.clear()

    def add(self, handler: Handler) -> None:
        """Keeps a handler, replacing the one of the same name."""
        fields = {**asdict(handler), "path": str(handler.path), "python": str(handler.python)}
        self._store.put(_KIND, handler.name, fields)
        self._known[handler.name] = handler


def _handler(kept: Any) -> Handler:
    return Handler(kept["name"], Path(kept["path"]), Path(kept["python"]), tuple(kept["args"]))


def serve(state: State, handler: Handler) -> Endpoint:
    """Puts a handler behind the endpoint of its name, which is made if there is none.

    An endpoint that is there keeps its settings, and its template all but the image. One that is
    made has a template of the same name, which goes with it.

    Raises:
        ControlPlaneError: RunPod would refuse it.
    """
    endpoint = _endpoint_named(state, handler.name)
    state.handlers.add(handler)
    if endpoint is not None:
        _release(state, state.control.template_of(endpoint), handler.name)
        return state.control.endpoints[endpoint.id]
    template = {"name": handler.name, "image_name": _next_image(handler.name, None)}
    fields = {
        "name": handler.name,
        "idle_timeout": _IDLE_TIMEOUT_S,
        "execution_timeout_ms": _EXECUTION_TIMEOUT_MS,
    }
    return state.save_endpoint(EndpointDraft(None, fields, TemplateDraft(None, template)))


def release(state: State, handler: Handler) -> Endpoint | None:
    """Begins a new version of a handler's endpoint: its file has changed.

    Returns:
        The endpoint, or None if it is gone or runs something else by now.
    """
    endpoint = _endpoint_named(state, handler.name)
    if endpoint is None:
        return None
    template = state.control.template_of(endpoint)
    if state.handlers.of_image(template.image_name) != handler:
        return None
    _release(state, template, handler.name)
    return state.control.endpoints[endpoint.id]


def _release(state: State, template: Template, name: str) -> None:
    fields = asdict(template) | {"image_name": _next_image(name, template.image_name)}
    del fields["id"]
    state.save_template(TemplateDraft(template.id, fields))


def _next_image(name: str, before: str | None) -> str:
    last = _IMAGE.fullmatch(before or "")
    return f"local/{name}:{int(last[2]) + 1 if last else 1}"


def _endpoint_named(state: State, name: str) -> Endpoint | None:
    return next((each for each in state.control.endpoints.values() if each.name == name), None)
