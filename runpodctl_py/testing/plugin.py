"""The local RunPod as fixtures of pytest: `runpod_local` and `runpod_endpoint`.

Loaded in every run of pytest wherever this package is installed, so it imports nothing until one
of them is used, and does nothing for tests that use none.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from runpodctl_py.testing.endpoint import LocalEndpoint
    from runpodctl_py.testing.server import LocalRunPodServer


class ServesHandlers(Protocol):
    """What `runpod_endpoint` is."""

    def __call__(
        self,
        handler: str | os.PathLike[str],
        *,
        env: Mapping[str, str] = ...,
        args: Sequence[str] = ...,
        python: str | os.PathLike[str] | None = ...,
        workers_max: int = ...,
    ) -> LocalEndpoint:
        """Serves a handler until the end of the test, and returns its endpoint."""


@pytest.fixture(scope="session")
def runpod_local_options() -> dict[str, Any]:
    """How the local RunPod of this session runs; override it to return others.

    Arguments of `LocalRunPodServer`, such as `{"worker_env": {"MODEL": "small"}}`.
    """
    return {}


@pytest.fixture(scope="session")
def runpod_local(
    runpod_local_options: Mapping[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[LocalRunPodServer]:
    """A local RunPod, which official clients and processes find in tests that use it."""
    from runpodctl_py.testing.server import LocalRunPodServer

    # It reads the variables as it is imported; in a test, it would keep the local ones for ever.
    with suppress(ImportError):
        import runpod  # noqa: F401
    folder = tmp_path_factory.mktemp("runpod")
    with _hints_told(), LocalRunPodServer(folder, **runpod_local_options) as server:
        signpost = pytestconfig.stash[_SIGNPOST] = _Signpost(server)
        signpost.put_up()
        yield server
        signpost.take_down()
        del pytestconfig.stash[_SIGNPOST]


@pytest.fixture
def runpod_endpoint(
    runpod_local: LocalRunPodServer, pytestconfig: pytest.Config
) -> Iterator[ServesHandlers]:
    """Serves handlers of yours: `runpod_endpoint("handler.py", env={…}, workers_max=1)`.

    A relative path is below pytest's root folder. What the workers print is shown if the test
    fails.
    """
    from runpodctl_py.testing.endpoint import served

    pytestconfig.stash[_SIGNPOST].put_up()
    with ExitStack() as until_the_end:

        def serve(
            handler: str | os.PathLike[str],
            *,
            env: Mapping[str, str] | None = None,
            args: Sequence[str] = (),
            python: str | os.PathLike[str] | None = None,
            workers_max: int = 1,
        ) -> LocalEndpoint:
            block = served(
                runpod_local,
                pytestconfig.rootpath / handler,
                env=env or {},
                args=args,
                python=python,
                workers_max=workers_max,
            )
            endpoint = until_the_end.enter_context(block)
            until_the_end.callback(lambda: print(endpoint.logs()))  # noqa: T201 - see above.
            return endpoint

        yield serve


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Points clients to the local RunPod in tests that use it, and in no others."""
    signpost = item.config.stash.get(_SIGNPOST, None)
    if signpost is not None:
        signpost.take_down()
        if _uses_it(item):
            signpost.put_up()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Ends what a test did to the local RunPod on purpose, before its fixtures end."""
    signpost = item.config.stash.get(_SIGNPOST, None)
    if signpost is not None and _uses_it(item):
        _mend(signpost.server)


def _uses_it(item: pytest.Item) -> bool:
    return "runpod_local" in getattr(item, "fixturenames", ())


def _mend(server: LocalRunPodServer) -> None:
    """Clears the faults, and has time go on."""
    from runpodctl_py.errors import EmulatorError

    # One that has failed says why when the session ends; a clock of the person's own is theirs.
    with suppress(RuntimeError, EmulatorError):
        server.faults.clear()
        server.time.run()


class _Signpost:
    """Points this process, and those it starts, to a local RunPod.

    Args:
        server: Which one.
    """

    def __init__(self, server: LocalRunPodServer) -> None:
        self.server = server
        self._patch = pytest.MonkeyPatch()

    def put_up(self) -> None:
        """Sets the variables, and what the `runpod` package has read of them already (6)."""
        for name, value in self.server.environment().items():
            self._patch.setenv(name, value)
        if runpod := sys.modules.get("runpod"):
            self._patch.setattr(runpod, "api_key", self.server.token)
            self._patch.setattr(runpod, "endpoint_url_base", f"{self.server.url}/v2")

    def take_down(self) -> None:
        """Leaves everything as it was."""
        self._patch.undo()


_SIGNPOST = pytest.StashKey[_Signpost]()


@contextmanager
def _hints_told() -> Iterator[None]:
    """Lets pytest show what helps, too, such as what to install."""
    from runpodctl_py.errors import RunpodctlError

    try:
        yield
    except RunpodctlError as error:
        if error.hint:
            error.add_note(error.hint)
        raise
