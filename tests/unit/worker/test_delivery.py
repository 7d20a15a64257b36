from __future__ import annotations

import base64
import sys
from typing import Any

import pytest

from worker.delivery import (
    Bucket,
    BucketDelivery,
    Content,
    FinishedFile,
    Handover,
    InlineDelivery,
    find_bucket,
    read_limit_bytes,
)
from worker.errors import InvalidInputError, ResourceError, SettingError

S3_CONFIG = {
    "endpointUrl": "https://s3.example.com",
    "accessId": "job-id",
    "accessSecret": "job-secret",
    "bucketName": "job-bucket",
}
VARIABLES = {
    "BUCKET_ENDPOINT_URL": "https://s3.example.org",
    "BUCKET_ACCESS_KEY_ID": "worker-id",
    "BUCKET_SECRET_ACCESS_KEY": "worker-secret",
    "BUCKET_NAME": "worker-bucket",
}


def test_inline_delivery_carries_the_content() -> None:
    """Size and base64 are those of the bytes."""
    file = FinishedFile("a.md", "text/markdown", "naïve".encode(), "preview")
    expected = {
        "filename": "a.md",
        "content_type": "text/markdown",
        "size_bytes": 6,
        "content_base64": base64.b64encode("naïve".encode()).decode(),
        "preview": "preview",
    }
    assert expected == InlineDelivery().deliver(file)


def test_the_jobs_own_bucket_comes_first() -> None:
    """`s3Config` wins over the worker's variables."""
    expected = Bucket("https://s3.example.com", "job-id", "job-secret", "job-bucket")
    assert expected == find_bucket({"s3Config": S3_CONFIG}, VARIABLES)


@pytest.mark.parametrize("path", ["results/today", "/results/today/"])
def test_a_job_may_name_a_path_in_its_bucket(path: str) -> None:
    """Slashes around it are not part of it."""
    bucket = find_bucket({"s3Config": {**S3_CONFIG, "objectPath": path}}, {})
    assert bucket.path == "results/today"


def test_a_path_that_is_no_text_is_refused() -> None:
    """A mistake of the job's."""
    with pytest.raises(InvalidInputError, match=r"^s3Config\.objectPath must be a text$"):
        find_bucket({"s3Config": {**S3_CONFIG, "objectPath": 7}}, {})


@pytest.mark.parametrize("job", [{}, {"s3Config": None}, {"s3Config": {}}])
def test_without_one_the_workers_bucket_is_used(job: dict[str, Any]) -> None:
    """An empty `s3Config` is none."""
    expected = Bucket("https://s3.example.org", "worker-id", "worker-secret", "worker-bucket")
    assert expected == find_bucket(job, VARIABLES)


def test_missing_keys_of_the_job_are_named() -> None:
    """Empty and non-string values count as missing; no value is quoted."""
    config = {"endpointUrl": "https://s3.example.com", "accessId": "", "accessSecret": 7}
    with pytest.raises(InvalidInputError) as caught:
        find_bucket({"s3Config": config}, VARIABLES)
    assert caught.value.message == "s3Config lacks accessId, accessSecret, bucketName"


def test_missing_variables_of_the_worker_are_named() -> None:
    """The message tells both ways out and quotes no value."""
    with pytest.raises(ResourceError) as caught:
        find_bucket({}, {**VARIABLES, "BUCKET_NAME": "", "BUCKET_ACCESS_KEY_ID": ""})
    assert caught.value.message == (
        "a link needs a bucket: set BUCKET_ACCESS_KEY_ID, BUCKET_NAME on the endpoint, "
        "or send s3Config with the job"
    )


@pytest.mark.parametrize("url", ["s3.example.com", "ftp://host", "https://", "http://[::1"])
def test_an_endpoint_that_is_no_url_is_refused(url: str) -> None:
    """Whoever configured it is told: the job's sender or the endpoint's owner."""
    with pytest.raises(InvalidInputError, match=r"^s3Config\.endpointUrl must begin"):
        find_bucket({"s3Config": {**S3_CONFIG, "endpointUrl": url}}, {})
    with pytest.raises(ResourceError, match=r"^BUCKET_ENDPOINT_URL must begin"):
        find_bucket({}, {**VARIABLES, "BUCKET_ENDPOINT_URL": url})


def test_an_s3_config_must_be_an_object() -> None:
    """A list is a mistake of the job's."""
    with pytest.raises(InvalidInputError, match=r"^s3Config must be an object, not a list$"):
        find_bucket({"s3Config": ["x"]}, VARIABLES)


def test_a_bucket_shows_no_key() -> None:
    """Its `repr` may end up in a log."""
    shown = repr(find_bucket({}, VARIABLES))
    assert "worker-bucket" in shown
    assert "worker-id" not in shown
    assert "worker-secret" not in shown


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_a_lack_of_resources() -> None:
    """Writing the copy to upload fails as on a full disk: `/dev/full` takes no byte."""
    delivery = BucketDelivery(find_bucket({}, VARIABLES), folder="job")
    with pytest.raises(ResourceError) as caught:
        delivery.deliver(FinishedFile("/dev/full", "text/plain", b"12345", ""))
    assert caught.value.message == "no space left on the worker's disk for 5 bytes to upload"


def test_files_that_fit_are_handed_over_as_they_are() -> None:
    """A bucket is not used without need."""
    file = FinishedFile("a.md", "text/markdown", b"abc", "preview")
    handover = Handover.of({"id": "j"}, VARIABLES, 1024 * 1024)
    content = Content("YWJj", is_link=False)
    assert handover.hand_over([file, file], advice="less") == [content, content]
    assert content.key("audio") == "audio"


def test_the_limit_is_that_of_all_files_in_base64() -> None:
    """Two files that fit one by one; the message names the limit and the ways out."""
    half = FinishedFile("a.bin", "application/octet-stream", bytes(450_000), "preview")
    handover = Handover.of({"id": "j"}, {}, 1024 * 1024)
    assert len(handover.hand_over([half], advice="less")[0].text) == 600_000
    with pytest.raises(ResourceError) as caught:
        handover.hand_over([half, half], advice="send less")
    assert caught.value.message == (
        "the result is 1.1 MB in base64, and RunPod takes at most 1.0 MB from a worker: send less, "
        "set BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID, BUCKET_SECRET_ACCESS_KEY, BUCKET_NAME on "
        "the endpoint, or send s3Config with the job"
    )


@pytest.mark.parametrize("job", [{"id": "j"}, {"id": "j", "s3Config": {"accessId": "id"}}])
def test_half_a_bucket_is_refused_before_the_work(job: dict[str, Any]) -> None:
    """Not after minutes on a card."""
    with pytest.raises((InvalidInputError, ResourceError)):
        Handover.of(job, {"BUCKET_NAME": "worker-bucket"}, 1024)


@pytest.mark.parametrize("raw", ["", "0", "-1", "nan", "inf", "much"])
def test_a_limit_is_a_positive_number(raw: str) -> None:
    """20 MB without one."""
    assert read_limit_bytes({}) == 20 * 1024 * 1024
    with pytest.raises(SettingError, match="WORKER_RESULT_LIMIT_MB"):
        read_limit_bytes({"WORKER_RESULT_LIMIT_MB": raw})
