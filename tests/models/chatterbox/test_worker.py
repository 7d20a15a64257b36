"""The worker as a real process of the SDK on the local RunPod, with a real model."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import soundfile

import worker
from runpodctl_py.testing import LocalRunPodServer, WorkerCommand
from runpodctl_py.testing.endpoint import LocalEndpoint, served

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.models,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("default"),
]
HANDLER = Path(__file__).with_name("handlers") / "speaking.py"
# The library alone takes half a minute to import on a slow machine, and the first piece as long.
PATIENCE_S = 300


def environment(cache: Path) -> dict[str, str]:
    """Variables of a worker without a card."""
    return {
        "PYTHONPATH": str(Path(worker.__file__).parents[1]),
        "WORKER_TASK": "chatterbox",
        "WORKER_DEVICE": "cpu",
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
    }


@pytest.fixture(scope="module")
def runpod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A local RunPod."""
    with LocalRunPodServer(tmp_path_factory.mktemp("runpod")) as server:
        yield server


@pytest.fixture(scope="module")
def endpoint(runpod: LocalRunPodServer, cache: Path) -> Iterator[LocalEndpoint]:
    """The worker behind an endpoint."""
    options: dict[str, Any] = {"args": [], "python": sys.executable, "workers_max": 1}
    with served(runpod, HANDLER, env=environment(cache), **options) as endpoint:
        yield endpoint


def test_a_text_becomes_a_file(endpoint: LocalEndpoint, speech: str) -> None:
    """Two pieces, two updates, one WAV; in a voice that came with the job."""
    text = f"{'a' * 200}. {'b' * 200}."
    job = endpoint.runsync({"text": text, "voice": speech, "seed": 3}, timeout_s=PATIENCE_S)
    assert (job["status"], job.get("error")) == ("COMPLETED", None), endpoint.logs()
    output = job["output"]
    with soundfile.SoundFile(io.BytesIO(base64.b64decode(output["audio"]))) as sound:
        assert (sound.samplerate, sound.subtype) == (24_000, "PCM_16")
        assert sound.frames / 24_000 == pytest.approx(output["duration_s"], abs=0.001)
    assert output["duration_s"] == pytest.approx(2 * 0.48 + 0.2)


def test_wrong_input_fails_in_words(endpoint: LocalEndpoint) -> None:
    """And the worker goes on."""
    job = endpoint.runsync({"text": "Hello", "exaggeration": 9}, timeout_s=PATIENCE_S)
    assert (job["status"], job["error"]) == ("FAILED", "validation_error")
    assert job["output"]["message"] == "exaggeration must be a number from 0.25 to 2, not 9"


def test_a_private_address_is_not_asked(endpoint: LocalEndpoint) -> None:
    """A job could read what only the worker's machine should."""
    job = {"text": "Hello", "voice": "http://169.254.169.254/latest/meta-data"}
    answer = endpoint.runsync(job, timeout_s=PATIENCE_S)
    assert (answer["status"], answer["error"]) == ("FAILED", "validation_error")


def test_a_model_without_weights_is_an_unhealthy_worker(tmp_path: Path) -> None:
    """RunPod hears of it, and the log says where they were looked for."""
    images = {"speaking": WorkerCommand([sys.executable, "-u", str(HANDLER)])}
    folder, empty = tmp_path / "runpod", tmp_path / "empty"
    with LocalRunPodServer(folder, images=images, worker_env=environment(empty)) as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=30) as client:
            draft = {"name": "speaking", "image": "speaking", "type": "QUEUE"}
            scaling = {"type": "QUEUE_DELAY", "queueDelay": 4}
            gpu = {"gpu": {"pools": ["AMPERE_16"]}, "scaling": scaling}
            made = client.post("/v2/serverless", json={**draft, **gpu}).raise_for_status().json()
            endpoint = LocalEndpoint(made["id"], f"{server.url}/v2/{made['id']}", server)
            job_id = endpoint.run({"text": "Hello"})
            while not client.get(f"/v2/{made['id']}/health").json()["workers"]["unhealthy"]:
                assert endpoint.status(job_id)["status"] == "IN_QUEUE"
        assert "ResembleAI/chatterbox is in none of" in endpoint.logs()
