"""Results that are too large for an answer, in a real S3 server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from worker.delivery import FinishedFile, Handover
from worker.errors import ProcessingError

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"aws_access_key_id": "id", "aws_secret_access_key": "hush"}


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """A server with the bucket `files`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **KEYS)
    client.create_bucket(Bucket="files")
    client.close()
    yield url
    server.stop()


def handover_of(url: str, bucket: str = "files") -> Handover:
    """The way for a job's files, with room for none of them in the answer."""
    environ = {
        "BUCKET_ENDPOINT_URL": url,
        "BUCKET_ACCESS_KEY_ID": "id",
        "BUCKET_SECRET_ACCESS_KEY": "hush",
        "BUCKET_NAME": bucket,
    }
    return Handover.of({"id": "job-1"}, environ, 4096 + 10)


def test_files_that_are_too_large_become_links(s3_url: str) -> None:
    """All of them, below the job's id, with their types; the links give them to anybody."""
    files = [
        FinishedFile("layer_00.png", "image/png", b"first layer", "first"),
        FinishedFile("layer_01.png", "image/png", b"second layer", "second"),
    ]
    contents = handover_of(s3_url).hand_over(files, advice="ask for less")
    for file, content in zip(files, contents, strict=True):
        assert (content.is_link, content.key("package")) == (True, "package_url")
        assert f"job-1/{file.filename}" in content.text
        answer = requests.get(content.text, timeout=10)
        assert (answer.content, answer.headers["Content-Type"]) == (file.data, "image/png")


def test_a_jobs_own_bucket_gets_small_files_too(s3_url: str) -> None:
    """Whoever sends a bucket wants the files in it, below the path that they name."""
    config = {
        "endpointUrl": s3_url,
        "accessId": "id",
        "accessSecret": "hush",
        "bucketName": "files",
        "objectPath": "results/today/",
    }
    handover = Handover.of({"id": "job-2", "s3Config": config}, {}, 20 * 1024 * 1024)
    file = FinishedFile("speech.wav", "audio/wav", b"RIFF", "speech")
    (content,) = handover.hand_over([file], advice="ask for less")
    assert content.is_link
    assert content.text.startswith(f"{s3_url}/files/results/today/job-2/speech.wav?")
    assert requests.get(content.text, timeout=10).content == b"RIFF"


def test_a_bucket_that_refuses_fails_the_job(s3_url: str) -> None:
    """In S3's own word, and without its key."""
    file = FinishedFile("speech.wav", "audio/wav", bytes(100), "speech")
    with pytest.raises(ProcessingError) as caught:
        handover_of(s3_url, "missing").hand_over([file], advice="ask for less")
    assert caught.value.message == "uploading to bucket 'missing' failed: NoSuchBucket"
