"""The note beside a job's files."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.errors import SaveError
from runpodctl_py.jobs.manifest import Manifest, write_manifest
from runpodctl_py.jobs.save import SavedFile

if TYPE_CHECKING:
    from pathlib import Path

JOB = "0e8400e2-0000-4000-8000-000000000000-u1"


def manifest(**fields: Any) -> Manifest:
    """Return a manifest of a finished job with some fields of its own."""
    return Manifest(
        **{"job_id": JOB, "endpoint_id": "ep1", "status": "COMPLETED", "input": {}} | fields
    )


def written(directory: Path, **fields: Any) -> dict[str, Any]:
    """Write a manifest and read it back."""
    document: dict[str, Any] = json.loads(
        write_manifest(directory, manifest(**fields)).read_bytes()
    )
    return document


def test_everything_is_in_it(tmp_path: Path) -> None:
    """Times in UTC, paths relative to the manifest, sizes, digests and the price."""
    saved = SavedFile(tmp_path / "out" / "in" / "a.png", 5, "ab" * 32, "image/png", "output.image")

    document = written(
        tmp_path / "out",
        preset="test",
        input={"duration": 5},
        submitted_at=datetime(2026, 7, 1, 12, 0, 0, 5000, tzinfo=UTC),
        finished_at=datetime(2026, 7, 1, 14, 0, 9, tzinfo=timezone(timedelta(hours=2))),
        delay_ms=824,
        execution_ms=3391,
        cost_usd=0.0012,
        worker_id="moi9fq5smrmwvl",
        files=(saved,),
        warnings=("a warning",),
        error="boom",
    )

    assert document == {
        "job_id": JOB,
        "endpoint_id": "ep1",
        "preset": "test",
        "status": "COMPLETED",
        "input": {"duration": 5},
        "submitted_at": "2026-07-01T12:00:00.005Z",
        "finished_at": "2026-07-01T12:00:09.000Z",
        "delay_ms": 824,
        "execution_ms": 3391,
        "cost_usd": 0.0012,
        "worker_id": "moi9fq5smrmwvl",
        "files": [
            {"path": "in/a.png", "bytes": 5, "sha256": "ab" * 32, "content_type": "image/png"}
        ],
        "warnings": ["a warning"],
        "error": "boom",
    }


def test_it_is_named_after_the_job_and_replaced_whole(tmp_path: Path) -> None:
    """A second fetch replaces the first manifest; nothing else appears in the folder."""
    write_manifest(tmp_path / "out", manifest(status="FAILED"))
    path = write_manifest(tmp_path / "out", manifest())

    assert [entry.name for entry in (tmp_path / "out").iterdir()] == [f"{JOB}.job.json"]
    assert path.read_text().startswith('{\n  "job_id": ')
    assert path.read_text().endswith("\n}\n")


def test_a_hostile_job_id_stays_in_the_folder(tmp_path: Path) -> None:
    """The job's id is made a safe name."""
    path = write_manifest(tmp_path / "out", manifest(job_id="../../evil\x00"))

    assert path == tmp_path / "out" / "evil.job.json"


@pytest.mark.parametrize(
    "key",
    [
        "accessSecret",
        "api_key",
        "apiKey",
        "API-KEY",
        "token",
        "hf_token",
        "accessToken",
        "password",
        "client_secret",
        "comfy_org_api_key",
        "Authorization",
        "PRIVATE_KEY",
        "accessId",
    ],
)
def test_secrets_are_masked(tmp_path: Path, key: str) -> None:
    """Whatever is kept under the name of a secret, at any depth, is not written."""
    document = written(tmp_path / "out", input={"a": [{key: "hunter2", "prompt": "a cat"}]})

    assert document["input"] == {"a": [{key: "***", "prompt": "a cat"}]}


def test_what_only_sounds_like_a_secret_is_kept(tmp_path: Path) -> None:
    """Counts of tokens and an empty password are plain values."""
    plain = {"max_tokens": 100, "tokens": ["a"], "keyframes": 3, "password": None}

    assert written(tmp_path / "out", input=plain)["input"] == plain


def test_keys_and_signatures_in_texts_are_masked(tmp_path: Path) -> None:
    """RunPod's keys and presigned URLs are secrets wherever they stand."""
    key = "rpa_" + "A1B2" * 10
    url = "https://b.example/a.png?X-Amz-Date=1&X-Amz-Signature=abc"

    document = written(
        tmp_path / "out",
        input={"image_url": url, "page": "https://b.example/?page=2", key: 1},
        error=f"cannot read {url} with {key}",
        warnings=(f"see {url}",),
    )

    assert document["input"] == {
        "image_url": "https://b.example/a.png?***",
        "page": "https://b.example/?page=2",
        "***": 1,
    }
    assert document["error"] == "cannot read https://b.example/a.png?*** with ***"
    assert document["warnings"] == ["see https://b.example/a.png?***"]


def test_large_strings_are_replaced_by_their_digest(tmp_path: Path) -> None:
    """More than 4 KiB is data, not a setting."""
    document = written(tmp_path / "out", input={"image": "A" * 4097, "text": "é" * 2048})

    assert document["input"]["text"] == "é" * 2048
    assert document["input"]["image"] == {
        "sha256": hashlib.sha256(b"A" * 4097).hexdigest(),
        "bytes": 4097,
    }


def test_depth_and_odd_characters_do_not_stop_it(tmp_path: Path) -> None:
    """An input that JSON can hold can be noted, shortened if need be."""
    deep: Any = "\ud800"
    for _ in range(900):
        deep = [deep]

    assert "…" in json.dumps(written(tmp_path / "out", input=deep), ensure_ascii=False)
    assert written(tmp_path / "out", input="\ud800")["input"] == "?"


def test_what_cannot_be_written_is_an_error_with_the_reason(tmp_path: Path) -> None:
    """The folder, the reason in words and the job are in the error."""
    (tmp_path / "out").write_bytes(b"")

    with pytest.raises(SaveError, match="something else has that name") as caught:
        write_manifest(tmp_path / "out", manifest())

    assert caught.value.job_id == JOB
