"""From the options of a bucket to the bucket: what is needed, and from where."""

from __future__ import annotations

from pathlib import Path

import pytest

from runpodctl_py.cli import options
from runpodctl_py.cli.buckets import access_of, bucket_of
from runpodctl_py.errors import UsageError
from runpodctl_py.jobs.buckets import Access, Bucket
from runpodctl_py.settings import Settings, Source

URL = "https://s3.example.com"
KEYS = {"BUCKET_ACCESS_KEY_ID": "id-0123", "BUCKET_SECRET_ACCESS_KEY": "hush-0123"}
CARRIES = "carries a user name or a password: keys belong into settings of their own"
ALL = {**KEYS, "BUCKET_ENDPOINT_URL": URL, "BUCKET_NAME": "mine"}


def settings_of(values: dict[str, str]) -> Settings:
    """Make settings with one source, an environment."""
    return Settings((Source("environment", values),), Path(".env"))


def refusal(asked: options.Bucket, values: dict[str, str]) -> str:
    """Ask for a bucket in vain, and return the message, in which no key may be."""
    with pytest.raises(UsageError) as raised:
        bucket_of(asked, settings_of(values))
    told = f"{raised.value.message} {raised.value.hint}"
    assert not any(key in told for key in KEYS.values())
    return raised.value.message


def test_nobody_asked_for_one() -> None:
    """Settings alone send nobody's keys anywhere."""
    assert bucket_of(options.Bucket(), settings_of(ALL)) is None


def test_the_rest_comes_from_settings() -> None:
    """The server and the keys."""
    expected = Bucket("files", URL, "id-0123", "hush-0123")
    assert bucket_of(options.Bucket(bucket="files"), settings_of(ALL)) == expected


def test_options_come_first() -> None:
    """The server and the path; slashes around the path are not part of it."""
    asked = options.Bucket(bucket="files", bucket_endpoint="http://minio:9000", bucket_path="/a/b/")
    expected = Bucket("files", "http://minio:9000", "id-0123", "hush-0123", "a/b")
    assert bucket_of(asked, settings_of(ALL)) == expected


def test_a_path_alone_is_in_the_bucket_of_the_settings() -> None:
    """Whoever names a path wants a bucket."""
    bucket = bucket_of(options.Bucket(bucket_path="today"), settings_of(ALL))
    assert bucket == Bucket("mine", URL, "id-0123", "hush-0123", "today")


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        (
            {},
            "BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY",
        ),
        (KEYS, "BUCKET_ENDPOINT_URL"),
        ({**ALL, "BUCKET_SECRET_ACCESS_KEY": " "}, "BUCKET_SECRET_ACCESS_KEY"),
    ],
)
def test_what_is_missing_is_named(values: dict[str, str], missing: str) -> None:
    """All of it at once."""
    message = refusal(options.Bucket(bucket="files"), values)
    assert message == f"A worker cannot use the bucket without {missing}"


def test_a_path_without_any_bucket() -> None:
    """The option that would name one is told."""
    message = refusal(options.Bucket(bucket_path="a"), {**KEYS, "BUCKET_ENDPOINT_URL": URL})
    assert message == "A worker cannot use the bucket without --bucket NAME"


@pytest.mark.parametrize("name", ["s3://files", "files/today", "a b", "-x", "a"])
def test_what_is_no_buckets_name(name: str) -> None:
    """The hint tells how a folder is named."""
    assert refusal(options.Bucket(bucket=name), ALL) == f"--bucket {name} is no bucket's name"


@pytest.mark.parametrize(
    ("flag", "setting", "message"),
    [
        ("s3.example.com", URL, "--bucket-endpoint is no http(s) URL"),
        (None, "s3.example.com", "BUCKET_ENDPOINT_URL is no http(s) URL"),
        (
            "https://id-0123:hush-0123@s3.example.com",
            URL,
            f"--bucket-endpoint {CARRIES}",
        ),
    ],
)
def test_what_is_no_server(flag: str | None, setting: str, message: str) -> None:
    """Told by the name of where it comes from, and not quoted."""
    asked = options.Bucket(bucket="files", bucket_endpoint=flag)
    assert refusal(asked, {**ALL, "BUCKET_ENDPOINT_URL": setting}) == message


@pytest.mark.parametrize("path", ["a//b", "../a", "a/./b", "a\nb"])
def test_what_is_no_path(path: str) -> None:
    """Names that S3 tools read in different ways."""
    message = refusal(options.Bucket(bucket="files", bucket_path=path), ALL)
    assert message == f"--bucket-path {path} cannot be the beginning of an object's name"


def test_access_is_what_is_set() -> None:
    """Half of it is no error: perhaps no link needs it."""
    assert access_of(settings_of({})) == Access()
    assert access_of(settings_of(ALL)) == Access(URL, "id-0123", "hush-0123", "mine")
    assert access_of(settings_of(KEYS), "http://minio") == Access(
        "http://minio", "id-0123", "hush-0123"
    )
