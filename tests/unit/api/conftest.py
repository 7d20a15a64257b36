"""What the tests of the clients share: retries that do not wait, and one certificate to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest
import stamina

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = "-----END CERTIFICATE-----\n"


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Retries happen at once, as often as the policy says."""
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


@pytest.fixture(scope="session")
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a single certificate: reading all of them takes 70 ms for each client."""
    first, end, _ = Path(certifi.where()).read_text(encoding="utf-8").partition(_END)
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(first + end, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _few_certificates(_one_certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No host is called, so none has to be trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(_one_certificate))
