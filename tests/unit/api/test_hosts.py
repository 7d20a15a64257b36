from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runpodctl_py.api.graphql import GraphqlProvisioner
from runpodctl_py.api.hosts import has_no_certificate, is_this_machine
from runpodctl_py.api.transport import Transport, download_client
from runpodctl_py.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8765", True),
        ("http://127.8.9.1/v2", True),
        ("http://[::1]:80", True),
        ("http://localhost:8765/v2", True),
        ("https://api.runpod.io", False),
        ("http://127.0.0.1.example.com", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_only_loopback_is_this_machine(url: str, expected: bool) -> None:  # noqa: FBT001 # a table
    """A name that merely looks like it is not."""
    assert is_this_machine(url) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8765", True),
        ("https://127.0.0.1:8765", False),
        ("http://api.runpod.io", False),
    ],
)
def test_certificates_are_looked_at_wherever_there_may_be_one(
    url: str,
    expected: bool,  # noqa: FBT001 # a table
) -> None:
    """A proxy on the way may have one, too: this machine needs neither."""
    assert has_no_certificate(url) is expected


@pytest.mark.parametrize(
    ("name", "value"), [("ALL_PROXY", "nonsense://x"), ("SSL_CERT_FILE", "missing.pem")]
)
def test_surroundings_that_no_client_can_use_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    """As a usage error that names the variables, for the API and for downloads."""
    monkeypatch.setenv(name, value if name == "ALL_PROXY" else str(tmp_path / value))
    for build in (lambda: Transport("https://api.runpod.ai/v2", "rpa_x"), download_client):
        with pytest.raises(UsageError, match="proxy or certificate") as raised:
            build()
        assert name in str(raised.value.hint)


@pytest.mark.anyio
async def test_graphql_tells_it_in_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gql builds its client when it connects."""
    monkeypatch.setenv("ALL_PROXY", "nonsense://x")
    with pytest.raises(UsageError, match="proxy or certificate"):
        async with GraphqlProvisioner("https://api.runpod.io", "rpa_x"):
            pass
