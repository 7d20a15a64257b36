"""Files of rows, the batches made of them, and what RunPod was given. Asserts nothing."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.acceptance.cli.ledger_scene import endpoint, named
from tests.acceptance.cli.person import PATIENCE_S

if TYPE_CHECKING:
    from runpodctl_py.testing import LocalRunPodServer
    from tests.acceptance.cli.ledger_scene import LedgerScene
    from tests.acceptance.cli.person import Said

OUT = Path("out")


def write_rows(count: int, path: Path = Path("rows.jsonl")) -> list[str]:
    """Write a file of rows that differ, and return their names."""
    names = [f"r{number}" for number in range(count)]
    rows = [json.dumps({"id": name, "input": {"row": name}}) for name in names]
    path.write_text("\n".join(rows))
    return names


def batch_run(
    scene: LedgerScene, endpoint_id: str, *more: str, file: str = "rows.jsonl"
) -> tuple[str, ...]:
    """Return the command that runs a file, its results in the folder `out`."""
    return ("batch", "run", file, "-e", endpoint_id, *named(scene), "-o", str(OUT), *more)


def inputs_at(scene: LedgerScene, endpoint_id: str) -> list[dict[str, Any]]:
    """Return the inputs of this test's jobs at RunPod, the first sent first."""
    listed = scene.asked(f"{endpoint_id}/requests")["requests"]
    mark = named(scene)[1].removeprefix("test=")
    return [
        {key: value for key, value in each["input"].items() if key != "test"}
        for each in reversed(listed)
        if each["input"].get("test") == mark
    ]


def rows_at(scene: LedgerScene, endpoint_id: str) -> list[str]:
    """Return for which rows RunPod has jobs, in the order of their names."""
    return sorted(each["row"] for each in inputs_at(scene, endpoint_id))


def results(folder: Path = OUT) -> list[dict[str, Any]]:
    """Return the lines of a batch's results, by the names of the rows."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    return sorted((json.loads(each) for each in lines), key=lambda each: str(each["row"]))


def resting(server: LocalRunPodServer, name: str) -> str:
    """Make an endpoint whose jobs stay in the queue, and return its id."""
    return endpoint(server, name, workers_max=0)


def set_to_work(server: LocalRunPodServer, endpoint_id: str) -> None:
    """Give an endpoint a worker, which does at once what waits."""
    answer = httpx.patch(
        f"{server.url}/v2/serverless/{endpoint_id}",
        json={"workers": {"min": 0, "max": 1}},
        headers={"Authorization": f"Bearer {server.token}"},
        timeout=PATIENCE_S,
    )
    answer.raise_for_status()


def counted(said: Said) -> dict[str, int]:
    """Return what the last event of a batch says that came of its rows, without what is 0."""
    keys = ("kept", "succeeded", "failed", "unknown", "left", "sent", "repeated")
    return {key: said.events[-1][key] for key in keys if said.events[-1][key]}


def until_sent(
    scene: LedgerScene, endpoint_id: str, count: int, running: subprocess.Popen[str]
) -> None:
    """Wait until RunPod has so many jobs of a batch that runs."""
    while len(inputs_at(scene, endpoint_id)) < count:
        # Asking again and again takes the time that the batch needs.
        with suppress(subprocess.TimeoutExpired):
            running.wait(0.05)
            raise ChildProcessError(f"the batch has ended before that: {running.communicate()}")
