"""Saving a job's files: what can be saved is saved, and the rest is told in words."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.errors import NotFoundError
from runpodctl_py.jobs.outputs import InlineFile, LinkedFile
from runpodctl_py.jobs.save import Fetched, SavedFile, SaveReport, save_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runpodctl_py.jobs.outputs import FoundFile
    from runpodctl_py.jobs.save import Sink

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)
OGG = b"OggS" + bytes(60)


@dataclass
class Links:
    """A fetcher that knows what stands behind each link."""

    contents: dict[str, bytes]
    answer: Fetched = field(default_factory=Fetched)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event | None = None

    async def fetch(self, url: str, sink: Sink) -> Fetched:
        """Write the content in two pieces, and wait in between if there is what to wait for."""
        if url not in self.contents:
            raise NotFoundError("https://h.example/gone: the link has expired")
        sink.write(self.contents[url][:4])
        self.started.set()
        if self.may_end:
            await self.may_end.wait()
        sink.write(self.contents[url][4:])
        return self.answer


def inline(name: str, content: bytes, size_bytes: int | None = None) -> InlineFile:
    """Return a file that was found in an output."""
    return InlineFile(name, "output.x", content, None, size_bytes)


async def save(
    directory: Path, *files: FoundFile, fetch: Links | None = None
) -> tuple[list[str], SaveReport]:
    """Save files and return what is in the folder, hidden files included, with the report."""
    report = await save_files(files, directory, label="job-u1", fetch=fetch)
    return listing(directory), report


def listing(directory: Path) -> list[str]:
    """List a folder, hidden files included."""
    return sorted(path.name for path in directory.iterdir())


def saved_names(report: SaveReport) -> list[str]:
    """Return the names of the saved files, in order."""
    return [file.path.name for file in report.files]


async def test_a_file_is_saved_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    """The folder is created, and the report can be checked against the disk."""
    directory = tmp_path / "new" / "folder"

    names, report = await save(directory, inline("a.png", PNG))

    assert names == ["a.png"]
    assert (directory / "a.png").read_bytes() == PNG
    digest = hashlib.sha256(PNG).hexdigest()
    saved = SavedFile(directory / "a.png", len(PNG), digest, "image/png", "output.x")
    assert report == SaveReport(files=(saved,))


async def test_no_files_create_no_folder(tmp_path: Path) -> None:
    """A job that returned text leaves nothing on disk."""
    assert await save_files([], tmp_path / "new", label="j") == SaveReport()
    assert not (tmp_path / "new").exists()


async def test_saving_again_changes_nothing(tmp_path: Path) -> None:
    """The same job fetched twice has the same files, also those with a number."""
    files = [inline("a.png", PNG), inline("A.png", PNG + b"2"), inline("a.png", PNG + b"3")]
    first_names, first = await save(tmp_path / "out", *files)
    second_names, second = await save(tmp_path / "out", *files)

    assert first_names == ["A-1.png", "a-2.png", "a.png"]
    assert (second_names, second) == (first_names, first)


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "..\\..\\evil.png", "C:evil.png", "\x00/evil.png"]
)
async def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Names are made safe again here, wherever they came from."""
    names, report = await save(tmp_path / "out", inline(name, PNG))

    assert [entry for entry in names if "evil" in entry] == names
    assert [file.path.parent for file in report.files] == [tmp_path / "out"]
    assert not (tmp_path / "evil.png").exists()


async def test_a_wrong_size_is_a_problem_and_the_file_is_kept(tmp_path: Path) -> None:
    """Half a file may still be worth something; that it is half is told."""
    names, report = await save(tmp_path / "out", inline("a.bin", b"12345", size_bytes=10))

    assert names == ["a.bin"]
    assert report.problems == ("a.bin: has 5 bytes, not the 10 announced; it was kept",)


async def test_a_wrong_extension_is_corrected(tmp_path: Path) -> None:
    """A player that goes by the extension must not be misled."""
    names, report = await save(tmp_path / "out", inline("voice.wav", OGG))

    assert names == ["voice.ogg"]
    assert report.warnings == ("voice.wav is audio/ogg: saved as voice.ogg",)
    assert report.problems == ()


async def test_content_that_is_not_what_its_name_says_is_told(tmp_path: Path) -> None:
    """An error page under an image's name keeps the name, with a warning."""
    names, report = await save(tmp_path / "out", inline("a.png", b"<html>Oops</html>"))

    assert names == ["a.png"]
    assert report.warnings == ("a.png does not look like a .png file",)


async def test_a_link_is_saved_like_any_file(tmp_path: Path) -> None:
    """Content, size and kind are checked on what came."""
    link = LinkedFile("a.png", "output.url", "https://h.example/a", size_bytes=1)

    names, report = await save(tmp_path / "out", link, fetch=Links({link.url: OGG}))

    assert names == ["a.ogg"]
    assert (report.files[0].size_bytes, report.files[0].content_type) == (len(OGG), "audio/ogg")
    assert (len(report.warnings), len(report.problems)) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "content", "name"),
    [
        (Fetched(name="report.csv"), b"a,b", "report.csv"),
        (Fetched(name="../../report.csv"), b"a,b", "report.csv"),
        (Fetched(content_type="text/markdown"), b"# hi", "result.md"),
        (Fetched(content_type="text/plain"), PNG, "result.png"),
        (Fetched(name="chart"), PNG, "chart.png"),
        (Fetched(content_type="application/octet-stream"), b"?", "result.bin"),
        (Fetched(), b"?", "result.bin"),
    ],
)
async def test_a_link_without_a_name_gets_the_servers(
    tmp_path: Path, answer: Fetched, content: bytes, name: str
) -> None:
    """First what the server calls it, then what the bytes are, then the content type."""
    link = LinkedFile("result", "output.result", "https://h.example/77")

    names, _ = await save(tmp_path / "out", link, fetch=Links({link.url: content}, answer))

    assert names == [name]


async def test_a_link_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    """The problem names the file, and no temporary file remains."""
    gone = LinkedFile("b.png", "output.b", "https://h.example/gone?sig=1")

    names, report = await save(
        tmp_path / "out", inline("a.png", PNG), gone, inline("c.png", PNG + b"c"), fetch=Links({})
    )

    assert names == ["a.png", "c.png"]
    assert report.problems == ("b.png: https://h.example/gone: the link has expired",)


async def test_an_unexpected_error_does_not_stop_the_others(tmp_path: Path) -> None:
    """Its kind is told, its text is not: that may hold the link."""

    class Broken:
        async def fetch(self, url: str, sink: Sink) -> Fetched:
            sink.write(b"half")
            raise ExceptionGroup("several", [OverflowError(url)])

    odd = LinkedFile("b.png", "output.b", "https://h.example/b?sig=1")

    report = await save_files(
        [odd, inline("a.png", PNG)], tmp_path / "out", label="j", fetch=Broken()
    )

    assert listing(tmp_path / "out") == ["a.png"]
    assert report.problems == ("b.png: cannot be saved (ExceptionGroup)",)


async def test_a_saved_file_knows_all_its_places(tmp_path: Path) -> None:
    """What `read_output` found travels on."""
    file = InlineFile("a.png", "output.a", PNG, also_at=("output.b",))

    _, report = await save(tmp_path / "out", file)

    assert [(saved.where, saved.also_at) for saved in report.files] == [("output.a", ("output.b",))]


async def test_links_are_left_out_without_a_fetcher(tmp_path: Path) -> None:
    """Not downloading is a choice, so it is no problem."""
    link = LinkedFile("b.png", "output.b", "https://h.example/b?sig=1")

    names, report = await save(tmp_path / "out", link)

    assert (names, report.problems) == ([], ())
    assert report.warnings == ("b.png was not downloaded (output.b is a link)",)


async def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    """The reason is in words, and what stands there is untouched."""
    (tmp_path / "out").write_bytes(b"mine")

    report = await save_files([inline("a.png", PNG)], tmp_path / "out", label="j")
    below = await save_files([inline("a.png", PNG)], tmp_path / "out" / "in", label="j")

    assert report.problems == (f"{tmp_path / 'out'}: something else has that name",)
    assert below.problems == (f"{tmp_path / 'out' / 'in'}: a file stands where a folder should be",)
    assert (tmp_path / "out").read_bytes() == b"mine"


async def test_a_cancelled_download_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a transfer deletes the half file; what was complete stays."""
    link = LinkedFile("b.png", "output.b", "https://h.example/b")
    links = Links({link.url: PNG}, may_end=asyncio.Event())
    files: Sequence[FoundFile] = [inline("a.png", PNG), link]
    saving = asyncio.create_task(save_files(files, tmp_path / "out", label="j", fetch=links))
    await links.started.wait()
    assert len(listing(tmp_path / "out")) == 2

    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving

    assert listing(tmp_path / "out") == ["a.png"]


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 20, 100])
async def test_cancelling_while_writing_leaves_whole_files_only(tmp_path: Path, steps: int) -> None:
    """The thread that writes is waited for: whatever is there afterwards is complete."""
    large = PNG + bytes(8_000_000)
    saving = asyncio.create_task(save_files([inline("a.png", large)], tmp_path / "out", label="j"))
    for _ in range(steps):
        await asyncio.sleep(0)

    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving

    left = [path.stat().st_size for path in (tmp_path / "out").glob("*")]
    assert left in ([], [len(large)])


async def test_many_jobs_share_a_folder(tmp_path: Path) -> None:
    """Savers at the same time do not take each other's names."""
    contents = [PNG + bytes([number]) for number in range(20)]

    reports = await asyncio.gather(
        *(
            save_files([inline("image.png", content)], tmp_path / "out", label=f"j{number}")
            for number, content in enumerate(contents)
        )
    )

    assert [report.files[0].path.read_bytes() for report in reports] == contents
    assert len(listing(tmp_path / "out")) == 20
