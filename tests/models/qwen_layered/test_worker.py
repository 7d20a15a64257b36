"""The worker as its image starts it, under the official SDK, on a local RunPod."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import worker
from runpodctl_py.errors import EmulatorError
from runpodctl_py.jobs.outputs import InlineFile, read_output
from runpodctl_py.testing import LocalRunPodServer
from runpodctl_py.testing.endpoint import LocalEndpoint, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Serve = Callable[..., AbstractContextManager[LocalEndpoint]]

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]

REPOSITORY = Path(worker.__file__).parents[1]
HANDLER = Path(__file__).with_name("handlers") / "layered.py"
# To import torch and diffusers alone takes 14 s, and twice that where they were never compiled.
PATIENCE_S = 200


@pytest.fixture(scope="module")
def serve(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Serves the worker on a local RunPod, with the tiny model in its cache."""
    env = {
        "PYTHONPATH": str(REPOSITORY),
        "WORKER_TASK": "qwen-layered",
        "WORKER_DEVICE": "cpu",
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
    }
    with LocalRunPodServer(tmp_path_factory.mktemp("local")) as server:

        def serve(handler: Path, **more: str) -> AbstractContextManager[LocalEndpoint]:
            return served(
                server, handler, env=env | more, args=(), python=sys.executable, workers_max=1
            )

        yield serve


@pytest.fixture(scope="module")
def endpoint(serve: Serve) -> Iterator[LocalEndpoint]:
    """An endpoint with one worker."""
    with serve(HANDLER) as endpoint:
        yield endpoint


def final(endpoint: LocalEndpoint, job_id: str, seen: list[Any]) -> dict[str, Any]:
    """Waits for a job's end; keeps what was seen of its progress."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        status = endpoint.status(job_id)
        if status["status"] not in {"IN_QUEUE", "IN_PROGRESS"}:
            return status
        if status.get("output") and status["output"] not in seen:
            seen.append(status["output"])
        time.sleep(0.05)
    raise AssertionError(f"the job has not ended:\n{endpoint.logs()}")


def test_a_picture_goes_in_and_layers_come_out(
    endpoint: LocalEndpoint, picture: Callable[..., str]
) -> None:
    """With progress on the way, and as files that our command line finds."""
    seen: list[Any] = []
    job_id = endpoint.run(
        {"image": picture(), "prompt": "a", "layers": 3, "num_inference_steps": 60, "seed": 5}
    )
    status = final(endpoint, job_id, seen)
    assert status["status"] == "COMPLETED", status
    output = status["output"]
    assert {name: output[name] for name in ("size", "seed")} == {"size": [96, 64], "seed": 5}
    assert {each["total_steps"] for each in seen} == {62}
    assert any(each["current_step"].endswith(" of 60") for each in seen)
    found = read_output(output)
    assert (found.warnings, found.failures) == ((), ())
    assert [each.name for each in found.files] == ["layer_00.png", "layer_01.png", "layer_02.png"]


@pytest.mark.parametrize("package", ["psd", "zip"])
def test_a_package_comes_out(
    endpoint: LocalEndpoint, picture: Callable[..., str], package: str
) -> None:
    """As one file under its own name."""
    answer = endpoint.runsync(
        {"image": picture(), "prompt": "a", "num_inference_steps": 2, "package": package},
        timeout_s=PATIENCE_S,
    )
    (file,) = read_output(answer["output"]).files
    assert isinstance(file, InlineFile)
    assert file.name == f"layers.{package}"
    assert file.content.startswith({"psd": b"8BPS", "zip": b"PK"}[package])


def test_a_wrong_input_fails_the_job(endpoint: LocalEndpoint) -> None:
    """As a validation_error, in words."""
    answer = endpoint.runsync({"image": "AAAA"}, timeout_s=PATIENCE_S)
    assert (answer["status"], answer["error"]) == ("FAILED", "validation_error")
    assert answer["output"]["message"].startswith("image is none of PNG")


def test_a_cancelled_job_frees_the_worker(
    endpoint: LocalEndpoint, picture: Callable[..., str]
) -> None:
    """The same worker does the next job."""
    given = {"image": picture(), "prompt": "a"}
    job_id = endpoint.run({**given, "num_inference_steps": 200, "layers": 10})
    deadline_s = time.monotonic() + PATIENCE_S
    while not endpoint.status(job_id).get("output"):
        assert time.monotonic() < deadline_s, endpoint.logs()
        time.sleep(0.05)
    endpoint._ask("POST", f"cancel/{job_id}")
    after = endpoint.runsync({**given, "num_inference_steps": 2}, timeout_s=PATIENCE_S)
    assert endpoint.status(job_id)["status"] == "CANCELLED"
    assert after["status"] == "COMPLETED"


def test_a_worker_without_weights_is_unhealthy(serve: Serve, tmp_path: Path) -> None:
    """It never takes a job; its last words say why."""
    with (
        pytest.raises(EmulatorError, match="Qwen/Qwen-Image-Layered is in none of"),
        serve(REPOSITORY / ".runpod" / "handler.py", HF_HUB_CACHE=str(tmp_path)),
    ):
        pass
