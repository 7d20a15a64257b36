"""`setup-*` and `teardown` against a RunPod: what they do, and what they leave alone."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.cli.conftest import Account, CommandLine

UNCHANGED = "template unchanged · endpoint unchanged · .env unchanged\n"


def test_setup_creates_and_teardown_removes(cli: CommandLine, account: Account) -> None:
    """A second setup changes nothing; after the teardown nothing is left, in `.env` neither."""
    templates_before = account.template_ids()
    first = cli("setup-test")
    env_file = Path(".env")
    endpoint_id = env_file.read_text().splitlines()[0].removeprefix("RUNPOD_TEST_ENDPOINT_ID=")
    assert (first.code, first.stdout) == (0, "")
    assert env_file.read_text() == (
        f"RUNPOD_TEST_ENDPOINT_ID={endpoint_id}\nRUNPOD_ENDPOINT_ID={endpoint_id}\n"
    )
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert ["✓", "endpoint", endpoint_id] in [s.split() for s in first.stderr.splitlines()]
    assert first.stderr.endswith("Try it:  runpodctl-py submit --task text_processing\n")
    versions = account.versions()
    again = cli("setup-test")
    assert (again.code, again.stdout, again.stderr) == (0, UNCHANGED, "")
    assert account.versions() == versions
    gone = cli("teardown", "test", "--yes")
    assert (gone.code, gone.stdout) == (0, "")
    assert gone.stderr.splitlines()[-3:] == [
        "✓ endpoint deleted",
        "✓ RUNPOD_TEST_ENDPOINT_ID, RUNPOD_ENDPOINT_ID removed from .env",
        "✓ template deleted",
    ]
    assert endpoint_id not in account.versions()
    assert (account.template_ids(), env_file.read_text()) == (templates_before, "")


def test_an_interrupted_teardown_can_be_finished(cli: CommandLine, account: Account) -> None:
    """The endpoint went behind our back; the rest goes with the same command, told once."""
    templates_before = account.template_ids()
    cli("setup-test")
    account.delete_endpoint(Path(".env").read_text().splitlines()[0].partition("=")[2])
    gone = cli("teardown", "test", "--yes")
    assert (gone.code, Path(".env").read_text()) == (0, "")
    assert account.template_ids() == templates_before
    again = cli("teardown", "test", "--yes")
    assert (again.code, again.stderr.splitlines()[0]) == (
        3,
        "✗ RUNPOD_TEST_ENDPOINT_ID is not set, so there is no endpoint to delete",
    )


def test_nothing_is_created_whose_id_cannot_be_written(cli: CommandLine, account: Account) -> None:
    """A `.env` that leads elsewhere is refused before RunPod is asked for anything."""
    Path(".env").symlink_to("/dev/null")
    before = account.template_ids()
    said = cli("setup-test")
    assert (said.code, account.template_ids()) == (2, before)
    assert "symlink" in said.stderr


def test_a_dry_run_of_nothing_sends_nothing(cli: CommandLine) -> None:
    """Only requests that would be sent are listed."""
    cli("setup-test", "--name", "dry")
    unchanged = cli("setup-test", "--name", "dry", "--dry-run", "--json").document
    changed = cli("setup-test", "--name", "dry", "--workers-max", "2", "--dry-run", "--json")
    assert unchanged["requests"] == []
    assert [list(request) for request in changed.document["requests"]] == [["saveEndpoint"]]


def test_a_changed_field_is_shown_and_applied(cli: CommandLine) -> None:
    """What differs is told as old → new; everything else stays."""
    cli("setup-test", "--name", "grows", "--workers-max", "1")
    said = cli("setup-test", "--name", "grows", "--workers-max", "3")
    lines = [line.split() for line in said.stderr.splitlines()]
    assert (said.code, said.stdout) == (0, "")
    assert ["template", "grows", "unchanged"] in lines
    assert ["endpoint", "grows", "workers_max", "1", "→", "3"] in lines
    endpoint_id = Path(".env").read_text().splitlines()[0].partition("=")[2]
    shown = cli("endpoints", "get", endpoint_id, "--json").document
    assert (shown["name"], shown["workers_max"], shown["idle_timeout_s"]) == ("grows", 3, 5)


def test_json_tells_the_same_change(cli: CommandLine) -> None:
    """The document names each field with its old and its new value."""
    cli("setup-test", "--name", "grows-too", "--idle-timeout", "5", "--json")
    said = cli("setup-test", "--name", "grows-too", "--idle-timeout", "60", "--json")
    document = said.document
    assert (said.code, said.stderr) == (0, "")
    assert document["template"]["action"] == "unchanged"
    assert document["endpoint"] == {
        "action": "update",
        "id": document["endpoint_id"],
        "name": "grows-too",
        "changes": [{"field": "idle_timeout_s", "old": 5, "new": 60}],
    }


def test_a_dry_run_changes_nothing(cli: CommandLine, account: Account) -> None:
    """The exact requests are on stdout; nothing is created and nothing is written."""
    before = (account.versions(), account.template_ids())
    said = cli("setup-chatterbox", "--dry-run", "--env", "HF_TOKEN=hidden-marker")
    save_template, save_endpoint = said.document["requests"]
    assert (said.code, said.document["dry_run"]) == (0, True)
    assert save_template["saveTemplate"]["name"] == "chatterbox-tts"
    assert save_endpoint["saveEndpoint"]["gpuIds"] == "AMPERE_16,AMPERE_24,ADA_24"
    assert said.document["price_per_hour_usd"] > 0
    assert "hidden-marker" not in said.stdout + said.stderr
    assert (account.versions(), account.template_ids()) == before
    assert list(Path.cwd().iterdir()) == []


def test_a_dry_teardown_changes_nothing(cli: CommandLine, account: Account) -> None:
    """It says what would go, and it stays."""
    endpoint_id = cli("setup-test", "--name", "stays", "--json").document["endpoint_id"]
    before = (account.versions(), account.template_ids(), Path(".env").read_text())
    said = cli("teardown", endpoint_id, "--dry-run")
    assert said.code == 0
    assert said.document == {
        "dry_run": True,
        "endpoint_id": endpoint_id,
        "template": "stays",
        "env_keys": ["RUNPOD_TEST_ENDPOINT_ID", "RUNPOD_ENDPOINT_ID"],
    }
    assert (account.versions(), account.template_ids(), Path(".env").read_text()) == before


def test_the_rest_of_env_stays(cli: CommandLine) -> None:
    """Comments, other variables and another preset's endpoint are as they were."""
    Path(".env").write_text("# mine\nOTHER=1\nRUNPOD_ENDPOINT_ID=elsewhere # keep\n")
    cli("setup-test", "--name", "beside")
    added = Path(".env").read_text().splitlines()
    assert added[:3] == ["# mine", "OTHER=1", "RUNPOD_ENDPOINT_ID=elsewhere # keep"]
    assert [line.partition("=")[0] for line in added[3:]] == ["RUNPOD_TEST_ENDPOINT_ID"]


def test_an_endpoint_that_is_gone_is_made_again(cli: CommandLine) -> None:
    """The stale id is named, and replaced in `.env`."""
    Path(".env").write_text("RUNPOD_TEST_ENDPOINT_ID=long-gone\nRUNPOD_ENDPOINT_ID=long-gone\n")
    said = cli("setup-test", "--name", "phoenix")
    assert said.code == 0
    assert "  (long-gone from .env does not exist any more)" in said.stderr.splitlines()
    assert "long-gone" not in Path(".env").read_text()


@pytest.mark.parametrize("flags", [["--workers-max", "31"]])
def test_a_refusal_says_what_is_there(cli: CommandLine, flags: list[str]) -> None:
    """RunPod's own words, what was done before, and the way on."""
    said = cli("setup-test", "--name", "too-many", *flags, "--json")
    error = said.error
    assert (said.code, error["error"]) == (1, "refused")
    assert error["message"].startswith("RunPod says: ")
    assert "The template too-many" in error["hint"]
    assert not Path(".env").exists()


def test_teardown_without_a_yes_deletes_nothing(cli: CommandLine, account: Account) -> None:
    """Nobody is there to ask: exit code 5, naming the flag."""
    endpoint_id = cli("setup-test", "--name", "kept", "--json").document["endpoint_id"]
    said = cli("teardown", endpoint_id)
    assert (said.code, said.stdout) == (5, "")
    assert said.stderr.endswith("  Say it beforehand with --yes\n")
    assert endpoint_id in account.versions()
