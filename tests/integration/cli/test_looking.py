"""Commands that only look: lists, health, settings, help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runpodctl_py.cli.help import EXIT_CODES

if TYPE_CHECKING:
    from runpodctl_py.testing import LocalRunPodServer
    from tests.integration.cli.conftest import CommandLine


def test_endpoints_are_listed_and_shown(cli: CommandLine, odd: str) -> None:
    """In a pipe the list is JSON without asking for it; `get` shows the same object."""
    listed = cli("endpoints", "list")
    (found,) = (each for each in listed.document if each["id"] == odd)
    shown = cli("endpoints", "get", odd)
    assert (listed.code, listed.stderr, shown.code, shown.stderr) == (0, "", 0, "")
    assert shown.document == found
    assert (found["name"], found["gpu"], found["idle_timeout_s"]) == ("odd", "AMPERE_16", 600)


def test_templates_are_listed_and_shown(cli: CommandLine, odd: str) -> None:
    """By name or by id; of the variables only the names are told."""
    cli("setup-test", "--name", "odd", "--image", "odd", "--env", "PASS=hidden-marker", "--yes")
    bound = cli("endpoints", "get", odd).document["template_id"]
    by_name = cli("templates", "get", "odd")
    by_id = cli("templates", "get", bound)
    listed = cli("templates", "list")
    assert (by_name.code, by_name.stderr, by_id.code, listed.code) == (0, "", 0, 0)
    assert by_name.document == by_id.document
    assert by_name.document in listed.document
    assert "PASS" in by_name.document["env"]
    assert "hidden-marker" not in by_name.stdout + by_id.stdout + listed.stdout


@pytest.mark.parametrize("noun", ["endpoints", "templates"])
def test_what_is_not_there_is_not_found(cli: CommandLine, noun: str) -> None:
    """Exit code 3, and where to look."""
    said = cli(noun, "get", "nowhere", "--json")
    assert (said.code, said.stdout, said.error["error"]) == (3, "", "not_found")
    assert said.error["hint"] == f"See yours:  runpodctl-py {noun} list"


def test_health_counts_jobs_and_workers(cli: CommandLine, odd: str) -> None:
    """Every state is there, with a number."""
    said = cli("health", odd)
    assert (said.code, said.stderr, said.document["endpoint_id"]) == (0, "", odd)
    assert sorted(said.document["jobs"]) == [
        "completed",
        "failed",
        "in_progress",
        "in_queue",
        "retried",
    ]
    counts = (*said.document["jobs"].values(), *said.document["workers"].values())
    assert {type(count) for count in counts} == {int}


def test_config_show_masks_the_key(cli: CommandLine, server: LocalRunPodServer) -> None:
    """Each value has its origin; of the key only the last four characters are shown."""
    Path(".env").write_text("RUNPOD_ENDPOINT_ID=from-file\nRUNPOD_API_KEY=shadowed-by-env\n")
    said = cli("config", "show")
    found = {each["name"]: each for each in said.document}
    key = {"name": "RUNPOD_API_KEY", "value": f"…{server.token[-4:]}", "origin": "environment"}
    assert (said.code, said.stderr) == (0, "")
    assert found["RUNPOD_API_KEY"] == key
    assert found["RUNPOD_ENDPOINT_ID"]["origin"] == str(Path(".env").absolute())
    assert found["RUNPODCTL_OUTPUT_DIR"]["origin"] == "default"
    assert server.token not in said.stdout
    assert "shadowed-by-env" not in said.stdout


def test_the_nearest_env_file_counts(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is searched upwards, and a flag names another one."""
    (tmp_path / "work" / ".env").write_text("RUNPOD_ENDPOINT_ID=above\n")
    below = tmp_path / "work" / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    (below / "mine.env").write_text("RUNPOD_ENDPOINT_ID=named\n")

    def endpoint_in(*arguments: str) -> str:
        document = cli("config", "show", *arguments).document
        (found,) = (each for each in document if each["name"] == "RUNPOD_ENDPOINT_ID")
        return str(found["value"])

    assert (endpoint_in(), endpoint_in("--env-file", "mine.env")) == ("above", "named")


def test_help_explains_every_exit_code_and_error(cli: CommandLine) -> None:
    """Both tables are JSON in a pipe, and each error's exit code is in the first."""
    codes = cli("help", "exit-codes").document
    errors = cli("help", "errors").document
    assert {each["code"]: each["meaning"] for each in codes} == EXIT_CODES
    assert {each["exit_code"] for each in errors} <= EXIT_CODES.keys()
    assert {"error": "job_failed", "exit_code": 10} in errors


def test_gpus_and_inputs_need_no_account(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are tables of this tool, not of RunPod's."""
    for name in ("RUNPOD_API_KEY", "RUNPOD_API_BASE_URL", "RUNPOD_ENDPOINT_BASE_URL"):
        monkeypatch.delenv(name)
    gpus, inputs = cli("gpus"), cli("help", "inputs", "test")
    assert (gpus.code, gpus.stderr, inputs.code, inputs.stderr) == (0, "", 0, "")
    assert "AMPERE_16" in {pool["id"] for pool in gpus.document}
    assert "task_type" in {field["name"] for field in inputs.document}
