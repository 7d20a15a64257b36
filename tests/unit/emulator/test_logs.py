"""Workers' logs: their lines, their ends, what is added, and what belongs to a job."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.emulator.workers.logs import (
    Growth,
    LogLine,
    Message,
    follow,
    lines_of_job,
    loss_text,
    message_of,
    parse,
    read_tail,
    time_text,
)

if TYPE_CHECKING:
    from pathlib import Path


def at(second: int, text: str) -> LogLine:
    """Returns a line of that second of a minute."""
    return LogLine(f"2026-11-21T10:50:{second:02}.000000Z", text)


def write(path: Path, *lines: LogLine, end: str = "\n") -> None:
    """Adds lines to a log; the last one may lack its end."""
    with path.open("a", encoding="utf-8") as log:
        log.write("\n".join(f"{each.time} {each.text}" for each in lines) + end)


def sdk(job_id: str | None, text: str) -> str:
    """Returns what the SDK's logger prints."""
    return json.dumps({"requestId": job_id, "message": text, "level": "INFO"})


@pytest.mark.parametrize("text", ["", "a line", "2026 and so on", "  é\u2028\x0b"])
def test_a_line_is_its_time_and_its_text(text: str) -> None:
    """Whatever a worker writes after it."""
    assert parse(f"2026-11-21T10:50:00.123456Z {text}") == LogLine(
        "2026-11-21T10:50:00.123456Z", text
    )


@pytest.mark.parametrize("raw", ["", "no time", "2026-11-21T10:50:00Z seconds only"])
def test_a_line_without_a_time_is_text(raw: str) -> None:
    """Such as one of another program."""
    assert parse(raw) == LogLine("", raw)


def test_times_are_written_in_utc_with_microseconds() -> None:
    """As RFC 3339 has them."""
    assert time_text(1795258200.5) == "2026-11-21T10:50:00.500000Z"


def test_the_sdks_lines_are_understood() -> None:
    """With a job's id and without; anything else is not the SDK's."""
    assert message_of(sdk("j1", "Started.")) == Message("j1", "Started.", "INFO")
    assert message_of(sdk(None, "Jobs in queue: 1")) == Message(None, "Jobs in queue: 1", "INFO")
    deep = '{"requestId": ' + "[" * 100_000
    for other in ("Started.", '{"requestId": ', '{"requestId": "j1"}', '{"other": 1}', deep):
        assert message_of(other) is None


@pytest.mark.parametrize("count", [0, 1, 3, 4, 100])
def test_the_tail_is_the_last_whole_lines(tmp_path: Path, count: int) -> None:
    """Fewer if there are fewer; one that is still being written is not there yet."""
    lines = [at(each, f"line {each}") for each in range(4)]
    write(tmp_path / "log", *lines, at(5, "unfinished"), end="")
    assert read_tail(tmp_path / "log", count) == (lines[-count:] if count else [])


def test_the_tail_of_a_long_log(tmp_path: Path) -> None:
    """Lines longer than a block are read whole."""
    lines = [at(each, f"{each}" * 50_000) for each in range(5)]
    write(tmp_path / "log", *lines)
    assert read_tail(tmp_path / "log", 3) == lines[-3:]


def test_there_may_be_no_log(tmp_path: Path) -> None:
    """It has no lines then."""
    assert read_tail(tmp_path / "none", 10) == []


@pytest.mark.anyio
async def test_following_yields_what_is_added(tmp_path: Path) -> None:
    """From the start, also of a log that is not there yet, each line once and whole."""
    path = tmp_path / "log"
    async with asyncio.timeout(10):
        lines = follow(path, None)
        first = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)
        write(path, at(1, "one"), at(2, "tw"), end="")
        assert await first == at(1, "one")
        with path.open("a") as log:
            log.write("o\n")
        assert await anext(lines) == at(2, "two")
        long = [at(each, "x" * 40_000) for each in range(3, 9)]
        write(path, *long)
        assert [await anext(lines) for _ in long] == long
        await lines.aclose()


@pytest.mark.anyio
async def test_following_goes_on_after_a_time(tmp_path: Path) -> None:
    """The line of that time was seen already."""
    path = tmp_path / "log"
    write(path, at(1, "one"), at(2, "two"), at(3, "three"))
    async with asyncio.timeout(10):
        lines = follow(path, at(2, "").time)
        assert await anext(lines) == at(3, "three")
        await lines.aclose()


def rotate(path: Path) -> None:
    """Goes on in a new file, as the guard does."""
    path.replace(path.with_suffix(".1.log"))
    path.touch()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_the_tail_reaches_into_the_older_file(tmp_path: Path, count: int) -> None:
    """As far as the newer one has too few lines."""
    path, lines = tmp_path / "w.log", [at(each, f"line {each}") for each in range(5)]
    write(path, *lines[:3])
    rotate(path)
    write(path, *lines[3:])
    assert read_tail(path, count) == lines[-count:]


@pytest.mark.anyio
async def test_following_goes_on_in_the_next_file(tmp_path: Path) -> None:
    """What was written before is in the older one, and no line comes twice."""
    path = tmp_path / "w.log"
    write(path, at(1, "long ago"))
    rotate(path)
    write(path, at(2, "one"))
    async with asyncio.timeout(10):
        lines = follow(path, None)
        assert [await anext(lines) for _ in range(2)] == [at(1, "long ago"), at(2, "one")]
        for second in (3, 5, 7):
            write(path, at(second, "the last of a file"))
            rotate(path)
            write(path, at(second + 1, "the first of the next"))
            found = [await anext(lines) for _ in range(2)]
            assert [each.time for each in found] == [at(second, "").time, at(second + 1, "").time]
        await lines.aclose()


def test_an_unfinished_line_waits_until_it_is_the_last(tmp_path: Path) -> None:
    """Nobody who wrote it will finish it."""
    path = tmp_path / "w.log"
    write(path, at(1, "one"), at(2, "tw"), end="")
    growth = Growth(path)
    assert growth.read() == f"{at(1, '').time} one\n".encode()
    assert growth.read() == b""
    assert growth.read(is_last=True) == f"{at(2, '').time} tw".encode()
    assert growth.read(is_last=True) == b""


def test_a_jobs_lines_are_found() -> None:
    """Those with its id, and what was printed without one until its end; nobody else's."""
    texts = [
        sdk("j0", "Started."),
        "printed by j0",
        sdk("j0", "Finished."),
        *(mine := [sdk("j1", "Started."), "printed", sdk(None, "Jobs in progress: 2")]),
        sdk("j2", "Started."),
        *(more := ["printed by one of them", sdk("j1", "[batchId=b] Finished.")]),
        "printed by j2",
        after := sdk("j1", "Finished Job"),
        "printed by j2 again",
    ]
    lines = [at(each, text) for each, text in enumerate(texts)]
    found = [each.text for each in lines_of_job(lines, "j1")]
    assert found == [*mine, *more, after]


def test_a_job_that_ended_its_worker_has_the_last_words() -> None:
    """What a crash prints comes after everything the SDK said."""
    lines = [at(1, sdk("j1", "Started.")), at(2, "Traceback (most recent call last):")]
    assert list(lines_of_job(lines, "j1")) == lines


def test_a_lost_job_has_no_lines_behind_its_loss() -> None:
    """Its worker may live on; one that never began is found by its loss."""
    lost = loss_text("j1", "forgot it")
    texts = [sdk("j1", "Started."), "printed", lost, "printed by others"]
    lines = [at(each, text) for each, text in enumerate(texts)]
    assert list(lines_of_job(lines, "j1")) == lines[:3]
    assert list(lines_of_job(lines[2:], "j1")) == [lines[2]]
    told = Message("j1", "The job was lost: its worker forgot it.", "ERROR")
    assert message_of(lost) == told


def test_a_retried_job_begins_anew() -> None:
    """On the same worker: what it prints then belongs to it, too."""
    once = [sdk("j1", "Started."), "first", sdk("j1", "Finished.")]
    texts = [*once, "between", sdk("j1", "Started."), "second", sdk("j1", "Finished.")]
    lines = [at(each, text) for each, text in enumerate(texts)]
    assert [each.text for each in lines_of_job(lines, "j1")] == [
        text for text in texts if text != "between"
    ]
