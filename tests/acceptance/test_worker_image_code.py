"""The bundled worker as the real process that its image runs, with the official SDK."""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

import worker
from worker.clock import ScaledClock
from worker.tasks.test import JobHandler

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(worker.__file__).parents[1]
SECRET = "hush-hush-secret"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a worker: time passes fifty times faster."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(REPOSITORY),
        "RUNPOD_DEBUG_LEVEL": "INFO",
        "WORKER_TIME_SCALE": "0.02",
    }


@pytest.fixture
def s3_url() -> Iterator[str]:
    """A real S3 server with the bucket `files`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key=SECRET,
    )
    client.create_bucket(Bucket="files")
    client.close()
    yield url
    server.stop()


def run_worker(
    environ: Mapping[str, str], *arguments: str, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run `python -u -m worker` to its end."""
    return subprocess.run(
        [sys.executable, "-u", "-m", "worker", *arguments],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def read_result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the output that the SDK's local test prints; longer than 4096 characters it is cut."""
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "Job result: " in line)
    result = ast.literal_eval(line.partition("Job result: ")[2])
    output: dict[str, Any] = result["output"]
    return output


def test_a_test_input_gives_the_documented_answer(environ: dict[str, str], tmp_path: Path) -> None:
    """The SDK's own local test ends well, and the file is in what it prints."""
    job = {"input": {"task_type": "data_analysis", "duration": 45, "user_input": ""}}
    output = read_result(run_worker(environ, "--test_input", json.dumps(job), cwd=tmp_path))
    file = output["result"]["result"]
    table = base64.b64decode(file["content_base64"]).decode()
    assert table.startswith("column,metric,value\r\nnumbers,type,empty\r\n")
    assert file["size_bytes"] == len(table.encode())
    assert [update["step"] for update in output["progress_updates"]] == list(range(1, 12))
    assert output["result"]["total_duration"] == pytest.approx(45, abs=5)
    assert output["metadata"]["runpod_request_id"] == "local_test"


def test_the_shipped_test_input_works_without_arguments(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """The SDK reads `test_input.json` from the working directory, where the image has it."""
    shutil.copy(REPOSITORY / "worker" / "test_inputs" / "test.json", tmp_path / "test_input.json")
    done = run_worker(environ, cwd=tmp_path)
    assert (done.returncode, "completed successfully" in done.stdout) == (0, True)


def test_wrong_input_fails_the_job(environ: dict[str, str], tmp_path: Path) -> None:
    """Not clamped: the SDK's local test ends with the error's type."""
    job = {"input": {"task_type": "text_processing", "duration": 100}}
    done = run_worker(environ, "--test_input", json.dumps(job), cwd=tmp_path)
    assert (done.returncode, "failed with error: validation_error" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "WORKER_TASK",
            "chat",
            "worker: WORKER_TASK must be one of test, chatterbox, qwen-layered, not 'chat'\n",
        ),
        (
            "WORKER_TIME_SCALE",
            "soon",
            "worker: WORKER_TIME_SCALE must be a number from 0 to 1 (1 is real time), not 'soon'\n",
        ),
    ],
)
def test_a_wrong_setting_ends_the_worker_at_once(
    environ: dict[str, str], tmp_path: Path, variable: str, value: str, message: str
) -> None:
    """Exit code 1 and a single clear line."""
    done = run_worker({**environ, variable: value}, cwd=tmp_path)
    assert (1, "", message) == (done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def serve_api(environ: Mapping[str, str], cwd: Path) -> Iterator[str]:
    """Run the worker as the SDK's local API server and yield its URL once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port)]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "worker", *arguments],
        env=environ,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert any("Uvicorn running" in line for line in process.stdout)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def test_the_local_api_returns_a_picture(environ: dict[str, str], tmp_path: Path) -> None:
    """Over HTTP nothing is cut: the PNG decodes at the size that was asked for."""
    job_input = {"task_type": "image_generation", "duration": 5, "width": 640, "height": 360}
    with serve_api(environ, tmp_path) as url:
        request = urllib.request.Request(  # noqa: S310 - a URL of our own making.
            f"{url}/runsync",
            json.dumps({"input": job_input}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:  # noqa: S310 - likewise.
            answer = json.load(response)
    assert answer["status"] == "COMPLETED"
    content = answer["output"]["result"]["result"]["content_base64"]
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (640, 360)


def fetch(url: str) -> tuple[str, bytes]:
    """Return the content type and the bytes behind a link."""
    with urllib.request.urlopen(url) as response:  # noqa: S310 - a URL of our own server.
        return response.headers["Content-Type"], response.read()


@pytest.mark.parametrize("configured_by", ["job", "worker"])
def test_a_link_leads_to_the_file_in_the_bucket(
    environ: dict[str, str], tmp_path: Path, s3_url: str, configured_by: str
) -> None:
    """With the job's `s3Config` or the worker's `BUCKET_*`, and without the content itself."""
    job: dict[str, Any] = {
        "id": "job-7",
        "input": {"task_type": "text_processing", "duration": 5, "output_format": "url"},
    }
    if configured_by == "job":
        job["s3Config"] = {
            "endpointUrl": s3_url,
            "accessId": "id",
            "accessSecret": SECRET,
            "bucketName": "files",
        }
    else:
        environ |= {
            "BUCKET_ENDPOINT_URL": s3_url,
            "BUCKET_ACCESS_KEY_ID": "id",
            "BUCKET_SECRET_ACCESS_KEY": SECRET,
            "BUCKET_NAME": "files",
        }
    output = read_result(run_worker(environ, "--test_input", json.dumps(job), cwd=tmp_path))
    file = output["result"]["result"]
    content_type, content = fetch(file["url"])
    assert file["url"].startswith(f"{s3_url}/files/job-7/{file['filename']}?")
    assert (content_type, len(content)) == ("text/markdown", file["size_bytes"])
    assert content.startswith(b"# Text report")
    assert "content_base64" not in file
    assert output["metadata"]["file_included"] is False
    assert [path.name for path in tmp_path.rglob("*.md")] == []


@pytest.mark.anyio
async def test_a_bucket_that_refuses_is_a_processing_error(s3_url: str) -> None:
    """S3's own code is passed on; the key and its secret are not."""
    handler = JobHandler(
        lambda _job, _update: None,
        create_clock=lambda: ScaledClock(0),
        environ={
            "BUCKET_ENDPOINT_URL": s3_url,
            "BUCKET_ACCESS_KEY_ID": "id",
            "BUCKET_SECRET_ACCESS_KEY": SECRET,
            "BUCKET_NAME": "absent",
        },
    )
    job_input = {"task_type": "text_processing", "duration": 5, "output_format": "url"}
    output = await handler({"id": "job-8", "input": job_input})
    output.pop("task_id")
    assert output == {
        "success": False,
        "error": "processing_error",
        "message": "uploading to bucket 'absent' failed: NoSuchBucket",
    }


@pytest.mark.anyio
async def test_a_bucket_out_of_reach_is_a_processing_error() -> None:
    """Nobody listens: the kind of error is told, the URL with its credentials is not."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        handler = JobHandler(
            lambda _job, _update: None, create_clock=lambda: ScaledClock(0), environ={}
        )
        s3_config = {
            "endpointUrl": f"http://127.0.0.1:{closed.getsockname()[1]}",
            "accessId": "id",
            "accessSecret": SECRET,
            "bucketName": "files",
        }
        job_input = {"task_type": "text_processing", "duration": 5, "output_format": "url"}
        output = await handler({"id": "job-9", "input": job_input, "s3Config": s3_config})
    assert (output["error"], output["message"]) == (
        "processing_error",
        "uploading to bucket 'files' failed: EndpointConnectionError",
    )
