from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from runpodctl_py.errors import UsageError
from runpodctl_py.workloads.contact_sheet import contact_sheet
from runpodctl_py.workloads.layering import layering_input, stem_of

if TYPE_CHECKING:
    from pathlib import Path

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def test_a_picture_goes_with_the_job(tmp_path: Path) -> None:
    """In base64, with only what was given besides."""
    path = tmp_path / "poster.png"
    path.write_bytes(PNG)
    payload = layering_input(str(path), {"layers": 3, "prompt": None, "seed": 0})
    assert payload == {"image": base64.b64encode(PNG).decode(), "layers": 3, "seed": 0}


@pytest.mark.parametrize("image", ["https://a.test/p.png", "data:image/png;base64,AAAA"])
def test_a_link_is_the_workers_to_fetch(image: str) -> None:
    """It has more room for it than a request."""
    assert layering_input(image, {}) == {"image": image}


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "Cannot read"), (b"", "is empty"), (b"RIFF\x24\x00\x00\x00WAVEfmt ", "is no picture")],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    """Before it is uploaded."""
    path = tmp_path / "poster.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        layering_input(str(path), {})


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("a/poster.final.png", "poster.final"),
        ("https://a.test/x/my%20poster.png?key=1", "my poster"),
        ("https://a.test/", "picture"),
        ("data:image/png;base64,AAAA", "picture"),
    ],
)
def test_a_picture_gives_its_folder_a_name(image: str, expected: str) -> None:
    """Wherever it is from."""
    assert stem_of(image) == expected


class Images(HTMLParser):
    """Notes what a page shows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sheets: list[list[str]] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and the picture that it is."""
        self.tags.append(tag)
        given = dict(attrs)
        if given.get("class") == "sheet":
            self.sheets.append([])
        if tag == "img":
            self.sheets[-1].append(unquote(given["src"] or ""))


def test_a_sheet_shows_all_layers_together_and_each_alone() -> None:
    """The bottom one first, by their files' names."""
    names = ["layer_00.png", "layer_01-1.png"]
    page = Images(contact_sheet("poster", names))
    assert page.sheets == [names, names[:1], names[1:]]
    assert "script" not in page.tags


def test_names_cannot_break_out_of_a_sheet() -> None:
    """Files are called by what a worker says, and by what a person has."""
    nasty = '"><script>alert(1)</script>?#&%.png'
    text = contact_sheet(nasty, [nasty])
    page = Images(text)
    assert page.sheets == [[nasty], [nasty]]
    assert "script" not in page.tags
    assert not re.search(r"https?://", text)
