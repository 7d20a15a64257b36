"""What an endpoint was when a job ran on it: noted by the commands that set it up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runpodctl_py import settings
from runpodctl_py.jobs.ledger import Deployment, Ledger, Place

if TYPE_CHECKING:
    from tests.acceptance.cli.person import Said
    from tests.integration.cli.conftest import Account, CommandLine


def setup(name: str, *more: str) -> tuple[str, ...]:
    """Return a command that sets an endpoint up; each test has one of its own at this RunPod."""
    image = ("--image", "odd", "--idle-timeout", "600")
    return ("setup-test", "--name", f"noted-{name}", *image, "--yes", *more)


def known(endpoint_id: str, root: str) -> Deployment:
    """Return what the ledger knows of an endpoint as it is now."""
    with Ledger(settings.load({}, Path.cwd()).ledger_path) as ledger:
        found = ledger.deployment(Place(root), endpoint_id, time.time())
    assert found is not None
    return found


def sent(cli: CommandLine, endpoint_id: str) -> tuple[str, dict[str, Any]]:
    """Send a job, and return its id and what it ran on."""
    said = cli("submit", "-e", endpoint_id, "-s", "do=return", "-s", "output=fine", "-d", "--json")
    job_id: str = said.events[0]["id"]
    return job_id, ran_on(cli, job_id)


def ran_on(cli: CommandLine, job_id: str) -> dict[str, Any]:
    """Return what a job ran on, as `jobs show` has it."""
    document: dict[str, Any] = cli("jobs", "show", job_id[:8], "--json").document["deployment"]
    return document


def test_a_job_ran_on_what_was_set_up(cli: CommandLine, account: Account) -> None:
    """Template, image, pools and price; a later change is a later job's."""
    made: Said = cli(*setup("changed", "--gpu", "AMPERE_16", "--json"))
    endpoint_id = made.document["endpoint_id"]
    first, deployment = sent(cli, endpoint_id)
    assert {name: deployment[name] for name in ("action", "image", "gpu_ids", "gpu_count")} == {
        "action": "create",
        "image": "odd",
        "gpu_ids": "AMPERE_16",
        "gpu_count": 1,
    }
    assert deployment["template_id"] in account.template_ids()
    assert deployment["name"].startswith("noted")
    assert deployment["price_per_s_usd"] > 0
    assert cli(*setup("changed", "--gpu", "ADA_24")).code == 0
    second, changed = sent(cli, endpoint_id)
    assert (changed["action"], changed["gpu_ids"]) == ("update", "ADA_24")
    assert changed["price_per_s_usd"] > deployment["price_per_s_usd"]
    assert ran_on(cli, first) == deployment
    cli("cancel", first, second)


def test_what_was_unchanged_is_noted_once(cli: CommandLine, account: Account) -> None:
    """Somebody without a ledger of their own learns of it by the first setup that finds it."""
    endpoint_id = cli(*setup("unchanged", "--json")).document["endpoint_id"]
    root = f"{account.server.url}/v2"
    made = known(endpoint_id, root)
    assert cli(*setup("unchanged")).stdout.startswith("template unchanged · endpoint unchanged")
    assert known(endpoint_id, root) == made
    for each in settings.load({}, Path.cwd()).ledger_path.parent.glob("ledger.sqlite3*"):
        if each.is_file():
            each.unlink()
    assert cli(*setup("unchanged")).code == 0
    found = known(endpoint_id, root)
    assert (found.action, found.image, found.template_id) == ("update", "odd", made.template_id)


def test_a_teardown_is_noted(cli: CommandLine, account: Account) -> None:
    """What was there is what the jobs before it ran on."""
    endpoint_id = cli(*setup("gone", "--json")).document["endpoint_id"]
    job_id, deployment = sent(cli, endpoint_id)
    assert cli("teardown", "test", "--yes").code == 0
    gone = known(endpoint_id, f"{account.server.url}/v2")
    assert (gone.action, gone.template_id) == ("delete", deployment["template_id"])
    assert (deployment["action"], ran_on(cli, job_id)) == ("create", deployment)


def test_a_dry_run_is_not_noted(cli: CommandLine) -> None:
    """Nothing was set up."""
    assert cli(*setup("dry", "--dry-run")).code == 0
    assert not settings.load({}, Path.cwd()).ledger_path.exists()


def test_a_setup_needs_no_ledger(cli: CommandLine) -> None:
    """It is done, exit code 0; it is said that it is not written down."""
    path = settings.load({}, Path.cwd()).ledger_path
    path.parent.mkdir(parents=True)
    path.write_text("Dear diary, today nothing happened. " * 40)
    for command in (setup("plain"), ("teardown", "test", "--yes")):
        said = cli(*command)
        assert said.code == 0, said.stderr
        assert f"! The ledger {path} is damaged" in said.stderr
        assert said.stderr.count("What was done is not written down.") == 1
