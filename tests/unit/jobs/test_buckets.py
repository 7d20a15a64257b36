"""The values of a bucket: what is sent, what is shown, and where requests go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.jobs.buckets import Access, Bucket, endpoint_trouble, region_of, server_url

URL = "https://s3.example.com"
CARRIES = "carries a user name or a password: keys belong into settings of their own"


def test_what_a_worker_is_sent() -> None:
    """Exactly the keys of API reference 4.2, without a path that nobody named."""
    keys = {
        "accessId": "id",
        "accessSecret": "hush",
        "bucketName": "files",
        "endpointUrl": URL,
    }
    assert Bucket("files", URL, "id", "hush").s3_config() == keys
    with_path = Bucket("files", URL, "id", "hush", "results/today").s3_config()
    assert with_path == {**keys, "objectPath": "results/today"}


SECRETS = st.text(st.sampled_from("0123456789ABCDEFabcdef/+"), min_size=16, max_size=40)


@given(SECRETS, SECRETS)
def test_no_key_is_ever_shown(access_id: str, access_secret: str) -> None:
    """Neither by the bucket nor by the access to it, whatever the key is."""
    values = (Bucket("files", URL, access_id, access_secret), Access(URL, access_id, access_secret))
    for shown in (*map(repr, values), *map(str, values)):
        assert access_id not in shown
        assert access_secret not in shown


@pytest.mark.parametrize(
    ("access", "missing"),
    [
        (Access(URL, "id", "hush"), ()),
        (Access(URL, "id", ""), ("BUCKET_SECRET_ACCESS_KEY",)),
        (Access(URL, None, "hush"), ("BUCKET_ACCESS_KEY_ID",)),
        (Access(), ("BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY")),
    ],
)
def test_what_is_missing_is_named(access: Access, missing: tuple[str, ...]) -> None:
    """A server is not: Amazon's is the one without a name."""
    assert access.missing == missing


def test_without_a_server_it_is_amazons() -> None:
    """In the region that answers for all."""
    assert (Access().server_url, Access().host) == (
        "https://s3.us-east-1.amazonaws.com",
        "s3.us-east-1.amazonaws.com",
    )


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "http://127.0.0.1:9000/",
        "http://[::1]:9000",
        "http://minio",
        "https://x.supabase.co/storage/v1/s3",
    ],
)
def test_a_servers_url(url: str) -> None:
    """With or without encryption, port and path."""
    assert endpoint_trouble(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "s3.example.com",
        "ftp://s3.example.com",
        "https://",
        "https://:9000",
        "https://host:port",
        "http://[::1",
        "http://a b",
        "http://exämple.com",
        "http://host?x=1",
        "http://host#x",
        "http://host\\evil",
        "http://host/\x00",
        "http://-host",
        "",
    ],
)
def test_what_is_no_servers_url(url: str) -> None:
    """The S3 library would panic about some of these."""
    assert endpoint_trouble(url) == "is no http(s) URL"


def test_keys_do_not_belong_into_the_url() -> None:
    """It is shown, and written down; the words do not quote it."""
    assert endpoint_trouble("https://id:hush@s3.example.com") == CARRIES


@given(st.text(max_size=60) | st.text(max_size=40).map("http://{}".format))
def test_any_text_is_judged(url: str) -> None:
    """Whatever somebody sets, there is an answer and no exception."""
    assert endpoint_trouble(url) in {None, "is no http(s) URL", CARRIES}


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("https://s3.dualstack.us-west-2.amazonaws.com", "us-west-2"),
        ("https://mine.s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("https://s3.eu-central-2.wasabisys.com", "eu-central-2"),
        ("https://s3.fr-par.scw.cloud", "fr-par"),
        ("https://s3api-eu-ro-1.runpod.io", "eu-ro-1"),
        ("https://abc123.r2.cloudflarestorage.com", "auto"),
        ("https://s3.amazonaws.com", "us-east-1"),
        ("https://s3.my-company.com", "us-east-1"),
        ("http://127.0.0.1:9000", "us-east-1"),
    ],
)
def test_the_region_to_sign_for(url: str, region: str) -> None:
    """From the names of servers that have one in it; a MinIO at home is in us-east-1."""
    assert region_of(url) == region


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://files.s3.eu-west-1.amazonaws.com/", "https://s3.eu-west-1.amazonaws.com"),
        ("https://abc.r2.cloudflarestorage.com/files", "https://abc.r2.cloudflarestorage.com"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
        ("https://files.s3-eu-west-1.amazonaws.com", "https://s3-eu-west-1.amazonaws.com"),
        ("https://files.s3.cn-north-1.amazonaws.com.cn", "https://s3.cn-north-1.amazonaws.com.cn"),
        ("https://FILES.S3.Amazonaws.com:443", "https://S3.Amazonaws.com:443"),
        ("https://files.example.com", "https://files.example.com"),
        ("https://x.supabase.co/storage/v1/s3", "https://x.supabase.co/storage/v1/s3"),
    ],
)
def test_a_bucket_in_the_servers_url(url: str, server: str) -> None:
    """It is named once, in the path of the request."""
    assert server_url(url, "files") == server


@pytest.mark.parametrize(
    "url",
    [
        "https://files.s3.example.com",
        "http://files.s3:9000",
        "https://files.s3.amazonaws.com.example.com",
        "https://files.s3.notamazonaws.com",
        "https://files.s3.example.com/amazonaws.com",
    ],
)
def test_a_bucket_does_not_choose_the_server(url: str) -> None:
    """A worker names the bucket: only the person's own name says what their host begins with."""
    assert server_url(url, "files") == url
    assert server_url(url, "files", own_bucket="other") == url
    own = server_url(url, "files", own_bucket="files")
    assert own == url.replace("files.", "", 1)
