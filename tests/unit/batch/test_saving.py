"""From a finished job to files called after its row, and to the row's result."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.api.types import Job, JobStatus
from runpodctl_py.batch.saving import Attempt, Saving, result_of
from runpodctl_py.errors import SaveError
from runpodctl_py.jobs.ledger import State
from tests.unit.batch.scene import Links

if TYPE_CHECKING:
    from pathlib import Path

    from runpodctl_py.batch.row import RowResult
    from runpodctl_py.jobs.collect import Summary

pytestmark = pytest.mark.anyio

LARGE = "word " * 60_000
PICTURE = b"\x89PNG\r\n\x1a\n lake"


@pytest.fixture
def links() -> Links:
    """What can be fetched: anything."""
    return Links()


@pytest.fixture
def saving(tmp_path: Path, links: Links) -> Saving:
    """One that is prepared, for workers at half a dollar a second."""
    saving = Saving(tmp_path / "out", "b7f3a2", lambda: links, 0.5)
    saving.prepare()
    return saving


def attempt(name: str = "r1") -> Attempt:
    """Return a row's second attempt."""
    return Attempt(line=7, name=name, key="0123", job_id="j1-u1", number=2)


def job(output: Any, status: JobStatus = JobStatus.COMPLETED, **more: Any) -> Job:
    """Return a job that has ended."""
    return Job("j1-u1", status, output, delay_ms=10, execution_ms=2000, worker_id="w1", **more)


def inline(content: bytes, content_type: str = "image/png") -> str:
    """Return a file as workers put it into their output."""
    return f"data:{content_type};base64,{base64.b64encode(content).decode()}"


async def saved(saving: Saving, output: Any, name: str = "r1") -> tuple[Summary, RowResult]:
    """Save what a row's job returned."""
    summary = await saving.save(attempt(name), job(output))
    return summary, result_of(attempt(name), summary)


def names(folder: Path) -> list[str]:
    """List a folder, hidden files included."""
    return sorted(each.name for each in folder.iterdir())


async def test_a_row_without_files(saving: Saving, tmp_path: Path) -> None:
    """Everything that is known of it is in its result."""
    summary, result = await saved(saving, {"text": "a lake"})
    assert (summary.error, summary.is_whole, names(tmp_path / "out")) == (None, True, [])
    assert (result.line, result.name, result.key, result.attempts) == (7, "r1", "0123", 2)
    assert (result.job_id, result.state, result.is_success) == ("j1-u1", State.COMPLETED, True)
    assert (result.delay_ms, result.execution_ms, result.cost_usd) == (10, 2000, 1.0)
    assert (result.output, result.files, result.error) == ({"text": "a lake"}, (), None)


async def test_a_file_is_called_by_its_row(saving: Saving, tmp_path: Path) -> None:
    """So the folder can be read beside the input; the output says where it is."""
    _, result = await saved(saving, {"image": inline(PICTURE)})
    path = tmp_path / "out" / "r1.png"
    assert path.read_bytes() == PICTURE
    assert [(each.path, each.content_type) for each in result.files] == [(path, "image/png")]
    assert result.output == {"image": {"saved": str(path)}}


async def test_several_files_have_their_own_names_too(saving: Saving, tmp_path: Path) -> None:
    """Behind the row's."""
    await saved(saving, {"images": [inline(PICTURE), inline(PICTURE + b"2")]})
    found = names(tmp_path / "out")
    assert len(found) == 2
    assert all(each.startswith("r1-") and each.endswith(".png") for each in found)


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "CON", "ä", "x" * 200])
async def test_a_name_of_a_row_that_is_no_name_of_a_file(
    saving: Saving, tmp_path: Path, name: str
) -> None:
    """It becomes one, in the batch's folder."""
    _, result = await saved(saving, {"image": inline(PICTURE)}, name)
    (file,) = result.files
    assert file.path.parent == tmp_path / "out"
    assert file.path.read_bytes() == PICTURE


async def test_saving_twice_changes_nothing(saving: Saving, tmp_path: Path) -> None:
    """As after a kill that came before its line."""
    _, first = await saved(saving, {"image": inline(PICTURE)})
    _, second = await saved(saving, {"image": inline(PICTURE)})
    assert (second, names(tmp_path / "out")) == (first, ["r1.png"])


async def test_another_content_does_not_replace_the_first(saving: Saving, tmp_path: Path) -> None:
    """As of a row that was run again."""
    await saved(saving, {"image": inline(PICTURE)})
    await saved(saving, {"image": inline(PICTURE + b"2")})
    assert names(tmp_path / "out") == ["r1-1.png", "r1.png"]


@pytest.mark.parametrize(
    "output",
    [LARGE, [LARGE], {"text": LARGE}, {"text": LARGE, "half": "\ud800"}],
    ids=["text", "list", "object", "half a character"],
)
async def test_a_large_output_becomes_a_file(saving: Saving, tmp_path: Path, output: Any) -> None:
    """And its line stays short enough to be read."""
    _, result = await saved(saving, output)
    path = tmp_path / "out" / "r1.json"
    assert json.loads(path.read_text("utf-8")) == output
    assert result.output == {"saved": str(path)}
    assert [each.content_type for each in result.files] == ["application/json"]


async def test_a_large_output_is_readable(saving: Saving, tmp_path: Path) -> None:
    """In any language."""
    await saved(saving, ["ä" * 300_000])
    assert "ää" in (tmp_path / "out" / "r1.json").read_text("utf-8")


async def test_a_large_output_that_is_a_file_already(saving: Saving, tmp_path: Path) -> None:
    """It is that file."""
    _, result = await saved(saving, {"image": inline(PICTURE + bytes(300_000))})
    assert names(tmp_path / "out") == ["r1.png"]
    assert result.output == {"image": {"saved": str(tmp_path / "out" / "r1.png")}}


@pytest.mark.parametrize(
    ("name", "content_type", "expected"),
    [
        ("results", "text/csv", "results-1.csv"),
        ("RESULTS", "text/csv", "RESULTS-1.csv"),
    ],
)
async def test_the_batchs_own_files_are_not_a_rows(
    saving: Saving, tmp_path: Path, name: str, content_type: str, expected: str
) -> None:
    """Though it has their name: at the end, results.csv is written over whatever is there."""
    await saved(saving, {"table": inline(b"a,b\n1,2\n", content_type)}, name)
    assert names(tmp_path / "out") == [expected]


async def test_a_link_that_cannot_be_fetched(saving: Saving, tmp_path: Path, links: Links) -> None:
    """What can be saved is saved; something is left to be fetched, and the row is no success."""
    output = {"sound": "https://cdn.example.org/a.wav", "video": "https://cdn.example.org/v.mp4"}
    links.broken.add(output["video"])
    summary, result = await saved(saving, output)
    assert isinstance(summary.error, SaveError)
    assert (summary.is_whole, result.is_success) == (False, False)
    assert len(result.files) == len(names(tmp_path / "out")) == 1
    assert result.error is not None
    assert result.error.endswith("the link has expired")


async def test_a_job_that_failed_keeps_its_own_words(
    saving: Saving, tmp_path: Path, links: Links
) -> None:
    """What it had is saved; that something of it could not be is not what went wrong."""
    links.broken.add("https://cdn.example.org/v.mp4")
    output = {"image": inline(PICTURE), "video": "https://cdn.example.org/v.mp4"}
    summary = await saving.save(attempt(), job(output, JobStatus.FAILED, error="out of memory"))
    result = result_of(attempt(), summary)
    assert (result.state, result.is_success, summary.is_whole) == (State.FAILED, False, False)
    assert result.error == "The job failed after 2.0 s: out of memory"
    assert len(names(tmp_path / "out")) == 1


async def test_a_worker_that_says_it_failed(saving: Saving) -> None:
    """Though the job is COMPLETED: the row is no success, and nothing is left to be fetched."""
    summary, result = await saved(saving, {"error": "no such voice"})
    assert (result.state, result.is_success, summary.is_whole) == (State.COMPLETED, False, True)
    assert result.error == "The job completed, but says: no such voice"


async def test_a_price_that_nobody_knows(tmp_path: Path, links: Links) -> None:
    """Then nobody knows the cost."""
    saving = Saving(tmp_path / "out", "b7f3a2", lambda: links, None)
    saving.prepare()
    _, result = await saved(saving, {})
    assert result.cost_usd is None


async def test_what_a_kill_has_left_is_cleared_away(tmp_path: Path, links: Links) -> None:
    """But nothing that is another batch's, or a person's."""
    folder = tmp_path / "out"
    folder.mkdir()
    for name in (".b7f3a2.0123456789abcdef.part", ".b000000.0123456789abcdef.part", "r1.part"):
        (folder / name).touch()
    Saving(folder, "b7f3a2", lambda: links, None).prepare()
    assert names(folder) == [".b000000.0123456789abcdef.part", "r1.part"]


def test_a_folder_that_cannot_be_made(tmp_path: Path, links: Links) -> None:
    """It is told before anything is sent."""
    (tmp_path / "out").touch()
    with pytest.raises(SaveError, match="out"):
        Saving(tmp_path / "out", "b7f3a2", lambda: links, None).prepare()
