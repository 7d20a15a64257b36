"""The stand-ins as real workers of the SDK, on the local RunPod."""

from __future__ import annotations

import base64
import io
import json
import time
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import openai
import pytest
import soundfile
from moto.server import ThreadedMotoServer
from PIL import Image

from runpodctl_py.testing import LocalRunPodServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Deploy = Callable[..., str]

KEYS = {"aws_access_key_id": "id", "aws_secret_access_key": "hush"}
WORKFLOW = {
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 128, "height": 64, "batch_size": 1},
    },
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "fox", "images": ["5", 0]}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A local RunPod that was told of no image."""
    with LocalRunPodServer(tmp_path_factory.mktemp("standins")) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: LocalRunPodServer) -> Iterator[httpx.Client]:
    """A client of it."""
    key = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=key, timeout=95) as api:
        yield api


@pytest.fixture(scope="module")
def deploy(api: httpx.Client) -> Deploy:
    """Deploys an image, and returns its endpoint's id."""

    def deployed(image: str, **env: str) -> str:
        endpoint = {
            "name": f"{image}-{len(env)}",
            "image": f"somebody/{image}:1.2.3",
            "type": "QUEUE",
            "gpu": {"pools": ["AMPERE_16"]},
            "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
            "env": env,
        }
        answer = api.post("/v2/serverless", json=endpoint)
        assert answer.status_code == 201, answer.text
        endpoint_id: str = answer.json()["id"]
        return endpoint_id

    return deployed


@pytest.fixture(scope="module")
def vllm(deploy: Deploy) -> str:
    """The id of an endpoint with a language model's stand-in."""
    return deploy("worker-v1-vllm", MODEL_NAME="org/model")


def done(api: httpx.Client, endpoint_id: str, job_input: Any) -> dict[str, Any]:
    """Has a job done, and returns it."""
    job: dict[str, Any] = api.post(f"/v2/{endpoint_id}/runsync", json={"input": job_input}).json()
    return job


def test_chatterbox_hums_a_text(
    server: LocalRunPodServer, api: httpx.Client, deploy: Deploy
) -> None:
    """Whatever `WORKER_TASK` says; and the first line of its log says what it is."""
    endpoint_id = deploy("worker-chatterbox", WORKER_TASK="chatterbox")
    job = done(api, endpoint_id, {"text": "Hello there.", "format": "ogg", "seed": 1})
    assert job["status"] == "COMPLETED", job
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(job["output"]["audio"])))
    assert rate == 24_000
    assert 0.5 < len(samples) / rate < 3
    (log,) = (server.data_folder / "logs" / endpoint_id).glob("*.log")
    first = log.read_text("utf-8").splitlines()[0]
    assert "This is a stand-in for worker-chatterbox, without its model: it hums" in first


def test_qwen_layered_parts_a_picture(api: httpx.Client, deploy: Deploy) -> None:
    """And tells how far it is."""
    file = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(file, "PNG")
    endpoint_id = deploy("worker-qwen-layered", WORKER_TASK="qwen-layered")
    task = {
        "image": base64.b64encode(file.getvalue()).decode(),
        "layers": 3,
        "num_inference_steps": 100,
    }
    job = api.post(f"/v2/{endpoint_id}/run", json={"input": task}).json()
    told = []
    while job["status"] not in {"COMPLETED", "FAILED"}:
        job = api.get(f"/v2/{endpoint_id}/status/{job['id']}").json()
        told.append(job.get("output"))
    assert job["status"] == "COMPLETED", job
    assert len(job["output"]["layers"]) == 3
    assert any(each and "Step" in str(each.get("current_step")) for each in told)


def test_comfyui_paints_and_refuses(api: httpx.Client, deploy: Deploy) -> None:
    """In the forms of version 5; the whole input may be a text."""
    endpoint_id = deploy("worker-comfyui")
    job = done(api, endpoint_id, {"workflow": WORKFLOW})
    assert job["status"] == "COMPLETED", job
    (image,) = job["output"]["images"]
    assert (image["filename"], image["type"]) == ("fox_00001_.png", "base64")
    assert Image.open(io.BytesIO(base64.b64decode(image["data"]))).size == (128, 64)
    loads = {**WORKFLOW, "5": {"class_type": "LoadImage", "inputs": {"image": "in.png"}}}
    job = done(api, endpoint_id, {"workflow": loads})
    assert job["status"] == "FAILED"
    assert job["error"].startswith("Workflow validation failed:\n• Node 5 ")
    upload = {"name": "in.png", "image": "abc"}
    job = done(api, endpoint_id, {"workflow": loads, "images": [upload]})
    assert (job["status"], job["error"]) == ("FAILED", "Failed to upload one or more input images")
    assert job["output"]["details"][0].startswith("Error decoding base64 for in.png")


def test_comfyui_puts_pictures_into_the_workers_bucket(api: httpx.Client, deploy: Deploy) -> None:
    """With the SDK's own upload: below the job's id, in a bucket that is called after the month."""
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **KEYS)
    client.create_bucket(Bucket=time.strftime("%m-%y"))
    try:
        endpoint_id = deploy(
            "worker-comfyui",
            BUCKET_ENDPOINT_URL=url,
            BUCKET_ACCESS_KEY_ID="id",
            BUCKET_SECRET_ACCESS_KEY="hush",
        )
        job = done(api, endpoint_id, {"workflow": WORKFLOW})
        assert job["status"] == "COMPLETED", job
        (image,) = job["output"]["images"]
        assert (image["filename"], image["type"]) == ("fox_00001_.png", "s3_url")
        assert f"/{job['id']}/" in image["data"]
        answer = httpx.get(image["data"])
        assert Image.open(io.BytesIO(answer.content)).size == (128, 64)
    finally:
        client.close()
        s3.stop()


def test_vllm_answers_openais_client(server: LocalRunPodServer, vllm: str) -> None:
    """Its models, a chat in one piece, and a chat word by word."""
    with openai.OpenAI(
        api_key=server.token, base_url=f"{server.url}/v2/{vllm}/openai/v1", max_retries=0
    ) as client:
        assert [each.id for each in client.models.list()] == ["org/model"]
        ask: Any = {"model": "org/model", "messages": [{"role": "user", "content": "hello you"}]}
        whole = client.chat.completions.create(**ask)
        assert whole.choices[0].message.content == "(stand-in, no model) You said: hello you"
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 7
        words = [
            each.choices[0].delta.content
            for each in client.chat.completions.create(**ask, stream=True)
        ]
        assert len(words) > 5
        assert "".join(word or "" for word in words) == whole.choices[0].message.content
        with pytest.raises(openai.InternalServerError, match="The model `other` does not exist"):
            client.chat.completions.create(**{**ask, "model": "other"})


def test_vllm_streams_native_jobs(api: httpx.Client, vllm: str) -> None:
    """Pieces of server-sent events, at `/stream` and in the output."""
    task = {"prompt": "why", "sampling_params": {"max_tokens": 4}, "stream": True}
    job = done(api, vllm, task)
    assert job["status"] == "COMPLETED", job
    assert all(isinstance(each, str) for each in job["output"])
    *events, end = "".join(job["output"]).removesuffix("\n\n").split("\n\n")
    assert end == "data: [DONE]"
    last = json.loads(events[-1].removeprefix("data: "))
    assert last["choices"][0]["finish_reason"] == "length"


def test_vllm_fails_a_job_in_the_words_of_a_generator(api: httpx.Client, vllm: str) -> None:
    """The SDK makes Python's own text of the error object."""
    job = done(api, vllm, {"sampling_params": {}})
    assert job["status"] == "FAILED"
    assert job["error"].startswith("{'message': \"input needs 'messages' or 'prompt'")
    assert "'type': 'worker_error'" in job["error"]
