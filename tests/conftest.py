"""What every test stands on: no RunPod variable, and a home of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.s3_server import S3Server

_PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture(autouse=True, scope="session")
def _quick_libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two libraries do not do over and over what costs much and no test asks for.

    Each HTTP client and each start of RunPod's SDK reads a hundred certificates, for 0.05 s; the
    only servers that tests know need none, or bring their own. And each worker's import of the SDK
    measures the processor's clock for a second (py-cpuinfo), unless SELinux seems to forbid it.
    """
    first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----\n")
    certificates = tmp_path_factory.mktemp("certificates") / "one.pem"
    certificates.write_text(first + end)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            patch.setenv(name, str(certificates))
        patch.setenv("PATH", str(_PROGRAMS), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True)
def _clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the developer's reaches a test, and no test writes into their home."""
    for name in os.environ:
        if name.startswith(("RUNPOD", "WORKER_", "BUCKET_", "XDG_")):
            monkeypatch.delenv(name)
    # Without compiled files, each of hundreds of processes compiles all of our modules again.
    compiles = "PYTHONDONTWRITEBYTECODE"
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LINES", compiles):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server with a bucket; one for all, because moto keeps its state in the process."""
    # Not before: most tests need none, and it takes a second to import.
    from tests.s3_server import running_s3_server

    with running_s3_server() as server:
        yield server


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, as the command line does."""
    return "asyncio"
