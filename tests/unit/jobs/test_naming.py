"""File names that are safe everywhere, whoever proposed them."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.jobs.naming import (
    collision_key,
    extension_in,
    key_words,
    name_in_disposition,
    name_in_url,
    numbered,
    safe_name,
    singular,
    with_extension,
)

SEPARATORS = ["..", "/", "\\", ".", " ", ":", "-", "~", "\u2003"]
WORDS = ["con", "NUL", "COM1", "a", ".tar", ".gz", ".png", ".job", ".json", "é", "ß", "İ", "𝄞"]
INVISIBLE = ["\u202e", "\u0338", "\x00", "\ud800"]
NAMES = st.text(max_size=400) | st.lists(
    st.sampled_from([*SEPARATORS, *WORDS, *INVISIBLE]), max_size=60
).map("".join)
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


def check_is_safe(name: str) -> None:
    """Assert everything that a name must be on Linux, macOS and Windows."""
    assert name
    assert name not in {".", ".."}
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f\x7f]', name)
    assert name[0] not in ".- "
    assert name[-1] not in ". "
    assert len(name) <= 150
    assert len(name.encode()) <= 255
    assert unicodedata.is_normalized("NFC", name)
    assert not DEVICE.fullmatch(name.split(".", maxsplit=1)[0].rstrip())
    assert not name.lower().endswith(".job.json")
    assert (PurePosixPath(name).name, PureWindowsPath(name).name) == (name, name)


@given(NAMES)
def test_any_text_becomes_a_safe_name(proposed: str) -> None:
    """Nothing leaves the folder, hides, or is refused by a system, and a second pass is idle."""
    name = safe_name(proposed)

    check_is_safe(name)
    assert safe_name(name) == name


@given(NAMES, st.integers(1, 99_999))
def test_a_number_keeps_a_name_safe(proposed: str, number: int) -> None:
    """The number fits in, whatever the length, and changes the name."""
    name = safe_name(proposed)

    check_is_safe(numbered(name, number))
    assert collision_key(numbered(name, number)) != collision_key(name)
    assert extension_in(numbered(name, number)) == extension_in(name)


@given(NAMES, st.sampled_from([".png", ".json", ".pptx"]))
def test_another_extension_keeps_a_name_safe(proposed: str, extension: str) -> None:
    """The extension is the new one, whatever was there."""
    name = with_extension(safe_name(proposed), extension)

    check_is_safe(name)
    assert extension_in(name) == extension


@given(st.text(max_size=80))
def test_any_header_can_be_read(header: str) -> None:
    """No Content-Disposition raises, and what it yields can be made safe."""
    check_is_safe(safe_name(name_in_disposition(f"attachment; filename{header}") or ""))
    check_is_safe(safe_name(name_in_disposition(header) or ""))


@pytest.mark.parametrize(
    ("proposed", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\System32\\a.dll", "a.dll"),
        ("folder/", "folder"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        (' a<b>:"c|?*.png. ', "abc.png"),
        ("con", "_con"),
        ("NUL.tar.gz", "_NUL.tar.gz"),
        ("COM1 .txt", "_COM1.txt"),
        ("lpt³.txt", "_lpt³.txt"),
        ("console.txt", "console.txt"),
        ("cafe\u0301.png", "caf\u00e9.png"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("abc-u1.job.json", "abc-u1-job.json"),
        ("a" * 141 + ".jobxxxxxx.json", "a" * 141 + "-job.json"),
        ("…", "…"),
        ("", "output"),
        ("..", "output"),
        ("///", "output"),
        ("x" * 300 + ".png", "x" * 146 + ".png"),
        ("語" * 100 + ".png", "語" * 83 + ".png"),
    ],
)
def test_names_are_made_safe_in_this_way(proposed: str, expected: str) -> None:
    """The rules one by one."""
    assert safe_name(proposed) == expected


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("attachment; filename=a.png", "a.png"),
        ('attachment; filename="a b.png"', "a b.png"),
        ('inline; FILENAME="a;b.png"', "a;b.png"),
        ('attachment; filename="quo\\"te.png"', 'quo"te.png'),
        ("attachment; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.png", "naïve €.png"),
        ("attachment; filename=\"plain.png\"; filename*=utf-8''b%C3%A9.png", "bé.png"),
        ("attachment; filename*=iso-8859-1'en'%A3.png; filename=plain.png", "£.png"),
        ("attachment", None),
        ("", None),
        ('attachment; filename=""', None),
        ("attachment; filename*=UTF-8''a.png; filename*0=b", None),
        (f"attachment; filename*{'9' * 5000}=a.png", None),
        ("attachment; filename*=a\0''b.png", None),
        ("attachment; filename*=punycode''%ff.png", None),
    ],
)
def test_content_disposition_is_read(header: str, name: str | None) -> None:
    """Quoted, bare and extended names are read, the extended one counts most (RFC 6266).

    What cannot be read names nothing.
    """
    assert name_in_disposition(header) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h.example/a/b%20c.png?X-Amz-Signature=1#x", "b c.png"),
        ("https://h.example", ""),
        ("https://h.example/a/", "a"),
        ("https://[broken/a.png", ""),
    ],
)
def test_the_name_in_a_url_is_the_end_of_its_path(url: str, name: str) -> None:
    """Unquoted, without query and fragment."""
    assert name_in_url(url) == name


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [("a.png", 1, "a-1.png"), ("a.tar.gz", 2, "a-2.tar.gz"), ("a", 3, "a-3")],
)
def test_the_number_stands_before_the_extension(name: str, number: int, expected: str) -> None:
    """Both parts of `.tar.gz` stay together."""
    assert numbered(name, number) == expected


def test_keys_are_split_into_words() -> None:
    """Snake case, camel case and digits."""
    assert key_words("audio_base64") == ("audio", "base64")
    assert key_words("imageURL") == ("image", "url")
    assert key_words("videoB64") == ("video", "b64")


@pytest.mark.parametrize(
    ("plural", "one"),
    [("images", "image"), ("galleries", "gallery"), ("meshes", "mesh"), ("glass", "glass")],
)
def test_plurals_become_singular(plural: str, one: str) -> None:
    """As far as keys in workers' outputs go."""
    assert singular(plural) == one
