from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.cli.payload import read_payload, read_settings, read_text
from runpodctl_py.errors import UsageError
from runpodctl_py.presets import loading

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonObject

BINARY = b"\x89PNG\r\n\x1a\n\xff"


def give_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Put bytes where a pipe would bring them."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("a=hello", {"a": "hello"}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a=007", {"a": "007"}),
        ("a=7", {"a": 7}),
        ("a=-1.5e3", {"a": -1500.0}),
        ("a=true", {"a": True}),
        ("a=null", {"a": None}),
        ("a=NaN", {"a": "NaN"}),
        ("a=[1]", {"a": "[1]"}),
        ("a:=[1, {}]", {"a": [1, {}]}),
        ('a:="@file"', {"a": "@file"}),
        ('a:="7"', {"a": "7"}),
        ("a:=0", {"a": 0}),
        ("http://x=1", {"http://x": 1}),
    ],
)
def test_a_value_has_the_type_it_looks_like(item: str, expected: JsonObject) -> None:
    """Without a preset, nobody knows better; `:=` takes JSON to the letter."""
    assert read_settings([item], None) == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("duration=10", {"duration": 10}),
        ("user_input=10", {"user_input": "10"}),
        ("duration:=1.5", {"duration": 1.5}),
    ],
)
def test_a_presets_field_decides_the_type(item: str, expected: JsonObject) -> None:
    """`10` is a number for one field and a text for another; limits are judged later."""
    assert read_settings([item], loading.load("test")) == expected


def test_the_last_of_several_values_counts() -> None:
    """As with any option that is given twice."""
    assert read_settings(["a=1", "b=2", "a=3"], None) == {"a": 3, "b": 2}


@pytest.mark.parametrize("item", ["", "a", "=", "=1", ":=1", "::=1"])
def test_what_is_no_setting_says_what_would_be_one(item: str) -> None:
    """With the item as it was given."""
    with pytest.raises(UsageError) as raised:
        read_settings([item], None)

    expected = f"--set takes key=value, key=@file or key:=json, not {item!r}"
    assert raised.value.message == expected


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("a:=", "Expecting value"),
        ("a:={", "Expecting property name"),
        ("a:=NaN", "NaN is not a JSON number"),
        ("a:=[-Infinity]", "-Infinity is not a JSON number"),
        ("a:=" + "[" * 100_000, "recursion"),
    ],
    ids=["nothing", "open", "NaN", "infinity", "deep"],
)
def test_what_is_no_json_is_refused(item: str, reason: str) -> None:
    """RunPod could not read it either."""
    with pytest.raises(UsageError) as raised:
        read_settings([item], None)

    assert raised.value.message.startswith("--set a:= is no JSON: ")
    assert reason in raised.value.message


def test_a_value_that_the_field_cannot_have() -> None:
    """It is told before anything is sent."""
    with pytest.raises(UsageError, match="duration must be an integer"):
        read_settings(["duration=soon"], loading.load("test"))


def test_a_text_file_is_sent_as_text(tmp_path: Path) -> None:
    """To the byte, line ends included."""
    path = tmp_path / "a.txt"
    path.write_bytes("ä\r\nb\n".encode())

    assert read_settings([f"a=@{path}"], None) == {"a": "ä\r\nb\n"}


def test_a_binary_file_is_sent_as_base64(tmp_path: Path) -> None:
    """JSON holds no bytes."""
    path = tmp_path / "a.png"
    path.write_bytes(BINARY)

    assert read_settings([f"a=@{path}"], None) == {"a": base64.b64encode(BINARY).decode()}


def test_a_field_for_files_takes_text_as_base64_too(tmp_path: Path) -> None:
    """The worker will decode it whatever it is."""
    preset = loading.load("qwen")
    field = next(name for name, it in preset.input.items() if it.type == "file")
    path = tmp_path / "a.svg"
    path.write_text("<svg/>")

    found = read_settings([f"{field}=@{path}"], preset)

    assert found == {field: base64.b64encode(b"<svg/>").decode()}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """With its path and the system's reason; a folder is no file either."""
    with pytest.raises(UsageError, match=r"Cannot read .*nope: No such file or directory"):
        read_settings([f"a=@{tmp_path / 'nope'}"], None)
    with pytest.raises(UsageError, match="Is a directory"):
        read_settings([f"a=@{tmp_path}"], None)


def test_a_payload_comes_from_a_file(tmp_path: Path) -> None:
    """A byte order mark, as Windows editors write it, does no harm."""
    path = tmp_path / "input.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, null]}')

    assert read_payload(str(path)) == {"a": [1, None]}


def test_a_payload_comes_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is stdin."""
    give_stdin(monkeypatch, b'{"a": 1}')

    assert read_payload("-") == {"a": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no JSON: "),
        (b"{", "is no JSON: "),
        (b'{"a": NaN}', "is no JSON: NaN is not a JSON number"),
        (b"[" * 100_000, "is no JSON: "),
        (b"[]", "is no JSON object"),
        (b"null", "is no JSON object"),
        (b'"text"', "is no JSON object"),
    ],
    ids=["nothing", "open", "NaN", "deep", "list", "null", "text"],
)
def test_what_is_no_payload_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """RunPod takes an object, and JSON only."""
    path = tmp_path / "input.json"
    path.write_bytes(content)

    with pytest.raises(UsageError) as raised:
        read_payload(str(path))

    assert raised.value.message.startswith(f"--payload {path} {reason}")


@pytest.mark.parametrize("source", ["-", "a.bin"])
def test_binary_content_is_no_text(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """The hint knows how to send it all the same."""
    give_stdin(monkeypatch, BINARY)
    Path("a.bin").write_bytes(BINARY)

    with pytest.raises(UsageError, match=r"^(stdin|a.bin) is no UTF-8 text$") as raised:
        read_text(source)

    assert "--set key=@FILE" in str(raised.value.hint)
