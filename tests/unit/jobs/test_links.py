"""What is a link as a whole text, and what only holds one."""

from __future__ import annotations

import pytest

from runpodctl_py.jobs.links import S3Link, is_web_link, name_in_link, read_s3_link


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("s3://files/a.png", S3Link("files", "a.png")),
        ("S3://files/jobs/1/a", S3Link("files", "jobs/1/a")),
        ("s3://my.old_Bucket/a%20b?c#d.png", S3Link("my.old_Bucket", "a%20b?c#d.png")),
        ("s3://files/my picture 1.png", S3Link("files", "my picture 1.png")),
        ("s3://files/café/図.png", S3Link("files", "café/図.png")),
        ("s3://files/a//b.png", S3Link("files", "a//b.png")),
    ],
)
def test_an_object_in_a_bucket(text: str, link: S3Link) -> None:
    """The key is taken as it stands, without decoding anything."""
    assert read_s3_link(text) == link


@pytest.mark.parametrize(
    "text",
    [
        "s3://files",
        "s3://files/",
        "s3://files/folder/",
        "s3:///a.png",
        "s3://a@b/c.png",
        "s3://-files/a.png",
        "see s3://files/a.png",
        "s3://files/a.png was written",
        "s3://files/ a.png",
        "s3://files/a\x1b[2J.png",
        "s3://files/a\nb.png",
        "gs://files/a.png",
        "https://files/a.png",
        f"s3://files/{'a' * 9000}",
    ],
)
def test_what_names_no_object(text: str) -> None:
    """Folders, sentences, and characters that no key of a worker has."""
    assert read_s3_link(text) is None


def test_a_web_link_is_a_whole_url() -> None:
    """With a host, and without blanks or a user."""
    assert is_web_link("HTTPS://h.example/a?b#c")
    assert not any(map(is_web_link, ["https://", "http://a@b/c", "http://h/a b", "s3://a/b"]))


@pytest.mark.parametrize(
    ("link", "name"),
    [
        ("https://h.example/a/b%20c.png?sig=1", "b c.png"),
        ("https://h.example/", ""),
        ("s3://files/a/what? #1.png", "what? #1.png"),
        ("s3://files/a/b%20c", "b%20c"),
    ],
)
def test_the_last_part_is_the_name(link: str, name: str) -> None:
    """Unquoted in a URL, as it is in a key."""
    assert name_in_link(link) == name
