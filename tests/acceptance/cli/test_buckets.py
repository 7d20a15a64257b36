"""A person with a bucket: workers put results into it, and what lies there comes home."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.cli.person import Person, Said
    from tests.s3_server import S3Server

CONTENT = b"\x89PNG\r\n\x1a\n" + os.urandom(300_000)
PROGRAM = Path(__file__).with_name("without_s3.py")
NEEDS = "set BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY"


@pytest.fixture
def owner(person: Person, s3: S3Server) -> Iterator[Person]:
    """Somebody whose settings lead to the bucket; in the end, nobody has told its keys."""
    owner = replace(person, variables={**person.variables, **s3.variables()})
    yield owner
    for path in owner.folder.parent.rglob("*"):
        assert not path.is_file() or s3.access_secret.encode() not in path.read_bytes(), path


def silent(said: Said, s3: S3Server) -> Said:
    """Assert that a command told no key, and return what it said."""
    for key in (s3.access_id, s3.access_secret):
        assert key not in said.stdout + said.stderr
    return said


def returning(output: object, *options: str) -> tuple[str, ...]:
    """The arguments that have the odd worker return something."""
    return ("submit", "--set", "do=return", "--set", f"output:={json.dumps(output)}", *options)


def test_a_worker_puts_its_file_into_the_bucket(owner: Person, fast: str, s3: S3Server) -> None:
    """Below the path that was named; the file on the disk is the one in the bucket."""
    said = owner.run(
        *("submit", "--task", "image_generation", "--endpoint", fast, "--json"),
        *("--bucket", "files", "--bucket-path", "results/today"),
    )
    finished = silent(said, s3).events[-1]
    (file,) = finished["files"]
    content = Path(file["path"]).read_bytes()
    assert said.code == 0, said.stderr
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert hashlib.sha256(content).hexdigest() == file["sha256"]
    key = f"results/today/{finished['id']}/{Path(file['path']).name}"
    assert key in s3.names()


def test_a_dry_run_shows_the_bucket_without_its_keys(
    owner: Person, fast: str, s3: S3Server
) -> None:
    """The exact request but for them; settings alone send no bucket at all."""
    asked = ("submit", "--task", "image_generation", "--endpoint", fast, "--dry-run")
    said = silent(owner.run(*asked, "--bucket", "files", "--bucket-path", "today"), s3)
    assert said.document["request"]["body"]["s3Config"] == {
        "accessId": "***",
        "accessSecret": "***",
        "bucketName": "files",
        "endpointUrl": s3.url,
        "objectPath": "today",
    }
    assert "s3Config" not in owner.run(*asked).document["request"]["body"]


def test_an_object_is_fetched(owner: Person, odd: str, s3: S3Server) -> None:
    """Byte for byte; its path is the only word on stdout."""
    s3.put("jobs/1/lake.png", CONTENT)
    said = owner.run(*returning({"image_url": "s3://files/jobs/1/lake.png"}, "--endpoint", odd))
    path = Path("outputs") / "lake.png"
    assert (said.code, said.stdout) == (0, f"{path}\n"), said.stderr
    assert path.read_bytes() == CONTENT
    silent(said, s3)


def test_without_keys_it_can_be_fetched_later(person: Person, odd: str, s3: S3Server) -> None:
    """Exit 14 says what to set; `jobs sync` with that brings it, and is then content."""
    s3.put("jobs/2/lake.png", CONTENT)
    link = "s3://files/jobs/2/lake.png"
    said = person.run(*returning({"image_url": link}, "--endpoint", odd))
    path = Path("outputs") / "lake.png"
    assert (said.code, said.stdout, path.exists()) == (14, "", False)
    assert (
        f"lake.png: {link} lies in the bucket files: {NEEDS}, then  runpodctl-py jobs sync"
        in said.stderr
    )
    said = person.run("jobs", "sync", **s3.variables())
    assert (said.code, path.read_bytes()) == (0, CONTENT), said.stderr
    assert "lake.png" not in person.run("jobs", "sync", **s3.variables()).stdout


def test_a_server_that_was_named_with_the_job_is_asked(
    owner: Person, odd: str, s3: S3Server
) -> None:
    """At once, and by whoever comes back to the job: keys are the only thing left to set."""
    s3.put("jobs/3/lake.png", CONTENT)
    keys = {**s3.variables(), "BUCKET_ENDPOINT_URL": ""}
    asked = ("--bucket", "files", "--bucket-endpoint", s3.url, "--endpoint", odd)
    output = {"image_url": "s3://files/jobs/3/lake.png"}
    said = owner.run(*returning(output, *asked), **keys)
    assert (said.code, (Path("outputs") / "lake.png").read_bytes()) == (0, CONTENT), said.stderr
    said = owner.run(*returning(output, *asked, "--detach"), **keys)
    assert said.code == 0, said.stderr
    job_id = said.stdout.strip()
    for command, folder in ((("watch",), "watched"), (("jobs", "sync"), "synced")):
        said = owner.run(*command, job_id, "--output-dir", folder, **keys)
        assert said.code == 0, said.stderr
        assert (Path(folder) / "lake.png").read_bytes() == CONTENT


def test_an_object_that_is_not_there(owner: Person, odd: str, s3: S3Server) -> None:
    """The job counts as not saved, with the reason; its other file is on the disk."""
    s3.put("jobs/4/lake.png", CONTENT)
    output = {"images": ["s3://files/jobs/4/none.png", "s3://files/jobs/4/lake.png"]}
    said = silent(owner.run(*returning(output, "--endpoint", odd)), s3)
    assert (said.code, said.stdout) == (14, f"{Path('outputs') / 'lake.png'}\n")
    assert "s3://files/jobs/4/none.png: there is no such object in the bucket" in said.stderr


def test_wrong_keys(person: Person, odd: str, s3: S3Server) -> None:
    """Whose they are is told by the setting's name, in S3's own word, and never by themselves."""
    s3.put("jobs/5/lake.png", CONTENT)
    wrong = {**s3.variables(), "BUCKET_SECRET_ACCESS_KEY": "MARKERmarker/0123456789"}
    with s3.checking_keys():
        said = person.run(
            *returning({"image_url": "s3://files/jobs/5/lake.png"}, "--endpoint", odd), **wrong
        )
    assert said.code == 14
    assert "does not let the key of BUCKET_ACCESS_KEY_ID read it (SignatureDoesNotMatch)" in (
        said.stderr
    )
    assert "MARKERmarker" not in silent(said, s3).stderr


def test_without_the_library(owner: Person, odd: str, s3: S3Server) -> None:
    """What installs it is told; no other file is lost over it."""
    s3.put("jobs/6/lake.png", CONTENT)
    output = {"image_url": "s3://files/jobs/6/lake.png"}
    said = owner.run_program(PROGRAM, *returning(output, "--endpoint", odd))
    assert (said.code, said.stdout) == (14, "")
    assert "lies in the bucket files: pip install 'runpodctl-py[s3]', then" in said.stderr


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (
            ("--bucket", "files"),
            "BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY",
        ),
        (
            ("--bucket", "files", "--bucket-endpoint", "https://a:hush@h"),
            "BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY",
        ),
    ],
)
def test_half_a_bucket_is_wrong_usage(
    person: Person, odd: str, options: tuple[str, ...], missing: str
) -> None:
    """Before anything is sent; what is missing is named, and nothing is quoted."""
    said = person.run(*returning("fine", "--endpoint", odd, "--json", *options))
    assert (said.code, said.stdout) == (2, "")
    assert said.error["message"] == f"A worker cannot use the bucket without {missing}"
    assert "hush" not in said.stderr


def test_the_settings_are_shown_without_the_keys(owner: Person, s3: S3Server) -> None:
    """Their last four letters tell them apart."""
    shown = silent(owner.run("config", "show", "--json"), s3).stdout
    assert s3.url in shown
    assert f"…{s3.access_secret[-4:]}" in shown


def test_a_job_that_is_sent_anew_uses_the_same_bucket(
    owner: Person, fast: str, s3: S3Server
) -> None:
    """Its name is in the ledger, its keys are as they are set now."""
    sent = owner.run(
        *("submit", "--task", "image_generation", "--endpoint", fast, "--json"),
        *("--bucket", "files", "--bucket-path", "retries"),
    )
    job_id = silent(sent, s3).events[-1]["id"]
    shown = silent(owner.run("jobs", "show", job_id, "--json"), s3).document
    assert shown["bucket"] == {"name": "files", "endpoint_url": s3.url, "path": "retries"}
    again = silent(owner.run("jobs", "retry", job_id, "--force", "--json"), s3)
    assert again.code == 0, again.stderr
    assert any(name.startswith(f"retries/{again.events[-1]['id']}/") for name in s3.names())
    without = owner.run("jobs", "retry", job_id, "--force", "--json", BUCKET_SECRET_ACCESS_KEY="")
    assert (without.code, without.error["error"]) == (2, "usage_error")
    assert "BUCKET_SECRET_ACCESS_KEY" in without.error["message"]


def test_a_batch_puts_its_files_into_the_bucket(owner: Person, fast: str, s3: S3Server) -> None:
    """They come home all the same, named by their rows; going on needs the keys again."""
    Path("rows.jsonl").write_text('{"user_input": "A lake"}\n{"user_input": "A hill"}\n')
    command = ("batch", "run", "rows.jsonl", "--task", "image_generation", "--endpoint", fast)
    bucket = ("--bucket", "files", "--bucket-path", "batches")
    begun = silent(owner.run(*command, *bucket, "--limit", "1", "-o", "out"), s3)
    assert begun.code in {0, 8}, begun.stderr
    keyless = owner.run(*command, *bucket, "-o", "out", BUCKET_SECRET_ACCESS_KEY="")
    assert keyless.code == 2, keyless.stderr
    done = silent(owner.run(*command, *bucket, "-o", "out"), s3)
    assert done.code == 0, done.stderr
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["1.png", "2.png"]
    assert sum(name.startswith("batches/") for name in s3.names()) == 2


def test_runpods_own_batches_take_no_bucket(owner: Person, fast: str) -> None:
    """It is said before the file is read."""
    said = owner.run(
        *("batch", "run", "nowhere.jsonl", "--native", "--bucket", "files", "--endpoint", fast),
        "--json",
    )
    assert said.error["message"] == "--native and --bucket exclude each other"
