"""`comfy run` against workers that speak as each of ComfyUI's does."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from runpodctl_py.testing import LocalRunPodServer, WorkerCommand
from tests.acceptance.cli.person import Person, Said
from tests.acceptance.cli.test_submit import files_in, manifest_in

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parents[2] / "data" / "comfy"
TXT2IMG, IMG2IMG = str(DATA / "txt2img.json"), str(DATA / "img2img.json")
KEY = "comfyui-MARKERMARKERMARKER0123456789"
LINKED = b"\x89PNG\r\n\x1a\n linked"


@pytest.fixture(scope="session")
def link() -> Iterator[str]:
    """The URL of a picture."""

    class Pictures(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(LINKED)))
            self.end_headers()
            self.wfile.write(LINKED)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/generations/c67ad621.png"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def comfy_runpod(
    tmp_path_factory: pytest.TempPathFactory, link: str
) -> Iterator[LocalRunPodServer]:
    """A RunPod on which the image of worker-comfyui runs our own handlers."""
    program = str(Path(__file__).with_name("comfy_worker.py"))
    images = {"worker-comfyui": WorkerCommand([sys.executable, "-u", program])}
    with LocalRunPodServer(
        tmp_path_factory.mktemp("comfy"), images=images, worker_env={"COMFY_LINK": link}
    ) as server:
        yield server


def set_up(runpod: LocalRunPodServer, folder: Path, speaks: str) -> str:
    """Deploy the preset's endpoint with a worker that speaks like one, and return its id."""
    admin = Person(folder, {**runpod.environment(), "HOME": str(folder)})
    said = admin.run(
        *("setup-comfyui", "--name", speaks, "--env", f"COMFY_SPEAKS={speaks}"),
        *("--idle-timeout", "600", "--json"),
    )
    assert said.code == 0, said.stderr
    endpoint_id: str = said.document["endpoint_id"]
    return endpoint_id


@pytest.fixture(scope="session")
def v5(comfy_runpod: LocalRunPodServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an endpoint with worker-comfyui since 5.0.0."""
    return set_up(comfy_runpod, tmp_path_factory.mktemp("v5"), "v5")


@pytest.fixture(scope="session")
def v4(comfy_runpod: LocalRunPodServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an endpoint with worker-comfyui before 5.0.0."""
    return set_up(comfy_runpod, tmp_path_factory.mktemp("v4"), "v4")


@pytest.fixture(scope="session")
def dekita(comfy_runpod: LocalRunPodServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an endpoint with Dekita's worker."""
    return set_up(comfy_runpod, tmp_path_factory.mktemp("dekita"), "dekita")


@pytest.fixture
def artist(comfy_runpod: LocalRunPodServer) -> Person:
    """Somebody with an empty folder and a key."""
    return Person(Path.cwd(), comfy_runpod.environment())


def seen_by_worker(path: str | Path) -> dict[str, Any]:
    """Return what the worker says it was sent."""
    with Image.open(path) as picture:
        seen: dict[str, Any] = json.loads(picture.info["seen"])
    return seen


def ending(said: Said) -> str:
    """Return the error without what helps."""
    return said.stderr.partition("✗ ")[2].partition("\n")[0]


def test_a_workflow_becomes_pictures(artist: Person, v5: str) -> None:
    """They have ComfyUI's names; the worker got the workflow with what was set."""
    said = artist.run(
        *("comfy", "run", TXT2IMG, "-e", v5, "--seed", "5"),
        *("--set", "6.text=a lake", "--set", "KSampler.steps=3"),
    )
    assert (said.code, said.stdout) == (
        0,
        "outputs/ComfyUI_00001_.png\noutputs/ComfyUI_00002_.png\n",
    ), said.stderr
    expected = json.loads(Path(TXT2IMG).read_text())
    expected["3"]["inputs"] |= {"seed": 5, "steps": 3}
    expected["6"]["inputs"]["text"] = "a lake"
    seen = seen_by_worker("outputs/ComfyUI_00001_.png")
    assert seen == {"workflow": expected, "pictures": {}, "key": False}
    assert manifest_in(Path("outputs"))["preset"] == "comfyui"


def test_a_picture_goes_to_its_node(artist: Person, v5: str) -> None:
    """The node loads it by the name under which the worker got its bytes."""
    Image.new("RGB", (4, 4), "blue").save("my face.jpg")
    said = artist.run("comfy", "run", IMG2IMG, "-e", v5, "--image", "my face.jpg", "-q")
    assert (said.code, said.stderr) == (0, "")
    seen = seen_by_worker(said.stdout.splitlines()[0])
    name = seen["workflow"]["10"]["inputs"]["image"]
    assert name.startswith("my_face-")
    assert seen["pictures"] == {name: hashlib.sha256(Path("my face.jpg").read_bytes()).hexdigest()}


def test_a_picture_that_is_not_sent_is_named(artist: Person, v5: str) -> None:
    """With the words that send one."""
    said = artist.run("comfy", "run", IMG2IMG, "-e", v5)
    assert said.code == 0
    assert "Load Image (10) loads example.png, which has to be on the worker." in said.stderr
    assert "--image 10=FILE" in said.stderr


def test_a_random_seed_is_told(artist: Person, v5: str) -> None:
    """It can be used again, and another run has another one."""
    run = ("comfy", "run", TXT2IMG, "-e", v5, "--random-seed")
    told, as_json = artist.run(*run), artist.run(*run, "--json")
    seed = int(told.stderr.split("the same again with --seed ")[1].split()[0])
    first, *_, last = as_json.events
    assert seen_by_worker(told.stdout.split()[0])["workflow"]["3"]["inputs"]["seed"] == seed
    assert first["event"] == "seed"
    assert first["seed"] != seed
    seen = seen_by_worker(last["files"][0]["path"])
    assert seen["workflow"]["3"]["inputs"]["seed"] == first["seed"]


def test_the_key_of_comfy_org_goes_to_the_worker_only(artist: Person, v5: str) -> None:
    """And only if that is asked for: not into the manifest, the ledger or what is printed."""
    with_key = {"COMFY_ORG_API_KEY": KEY}
    run = ("comfy", "run", TXT2IMG, "-e", v5, "--comfy-org-key")
    shown = artist.run(*run, "--dry-run", **with_key)
    assert shown.document["request"]["body"]["input"]["comfy_org_api_key"] == "***"
    said = artist.run(*run, "--json", **with_key)
    assert said.code == 0
    assert seen_by_worker(said.events[-1]["files"][0]["path"])["key"] is True
    kept = artist.run("jobs", "show", said.events[-1]["id"], "--json")
    texts = [each.stdout + each.stderr for each in (shown, said, kept)]
    folders = (Path.cwd(), Path(os.environ["HOME"]))
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert not [text for text in texts if KEY in text]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    without = artist.run("comfy", "run", TXT2IMG, "-e", v5, "-q", **with_key)
    assert seen_by_worker(without.stdout.split()[0])["key"] is False


def test_the_key_of_comfy_org_does_not_go_to_the_local_runpod(tmp_path: Path) -> None:
    """Nothing there could use it; and it is named nowhere."""
    person = Person(Path.cwd(), {"RUNPODCTL_LOCAL_DIR": str(tmp_path / "data")})
    said = person.run(
        *("comfy", "run", TXT2IMG, "--local", "--comfy-org-key"), COMFY_ORG_API_KEY=KEY
    )
    assert (said.code, said.stdout) == (2, "")
    assert ending(said) == "COMFY_ORG_API_KEY goes to RunPod only: leave --comfy-org-key out"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("worker", "what", "code", "message", "saved"),
    [
        ("v5", "invalid", 10, "The job failed after", 0),
        ("v5", "partial", 10, "The job completed, but says: Node 9: could not fetch its se", 1),
        ("v5", "cached", 0, "", 0),
        ("v5", "link", 0, "", 1),
        ("v4", "fine", 0, "", 1),
        ("v4", "invalid", 10, "The job completed, but says: Invalid prompt", 0),
        ("v4", "slow", 10, "The job failed after", 0),
        ("dekita", "fine", 0, "", 2),
        ("dekita", "link", 0, "", 1),
        ("dekita", "local", 14, "1 of its files stayed on the worker: /comfyui/output/Com", 0),
        ("dekita", "error", 10, "The job completed, but says: Error queuing workflow: HTTP", 0),
    ],
)
def test_every_answer_is_understood(
    artist: Person,
    request: pytest.FixtureRequest,
    *,
    worker: str,
    what: str,
    code: int,
    message: str,
    saved: int,
) -> None:
    """What there is is saved, what failed is said, and the exit code tells the two apart."""
    form = ("--worker", "dekita") if worker == "dekita" else ()
    endpoint_id = request.getfixturevalue(worker)
    said = artist.run(
        *("comfy", "run", TXT2IMG, "-e", endpoint_id, *form),
        *("--set", f"9.filename_prefix={what}"),
    )
    pictures = files_in(Path("outputs"))
    assert (said.code, len(pictures)) == (code, saved), said.stderr
    assert ending(said).startswith(message)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert not message or said.stderr.count("✗") == 1


def test_what_stayed_on_the_worker_is_told_by_whoever_fetches_it(
    artist: Person, dekita: str
) -> None:
    """Also by watch, its last event, the ledger and a batch; nothing is left to be fetched."""
    prefix = ("--set", "9.filename_prefix=local")
    sent = artist.run("comfy", "run", TXT2IMG, "-e", dekita, *prefix, "--detach", "--json")
    said = artist.run("watch", sent.document["id"], "--json")
    message = "1 of its files stayed on the worker: /comfyui/output/ComfyUI_00001_.png"
    assert (said.code, said.events[-1]["error"], said.error["message"]) == (14, message, message)
    assert said.error["error"] == "save_failed"
    kept = artist.run("jobs", "show", sent.document["id"], "--json").document
    assert kept["error"] == message
    assert artist.run("jobs", "sync", "--json").code == 0

    workflow = json.loads(Path(TXT2IMG).read_text())
    workflow["9"]["inputs"]["filename_prefix"] = "local"
    Path("rows.jsonl").write_text(json.dumps({"workflow": workflow}) + "\n")
    batch = artist.run("batch", "run", "rows.jsonl", "--preset", "comfyui", "-e", dekita)
    assert (batch.code, message in batch.stderr) == (13, True)


def test_a_run_without_pictures_says_why(artist: Person, v5: str) -> None:
    """ComfyUI remembers what it has just done."""
    said = artist.run("comfy", "run", TXT2IMG, "-e", v5, "-s", "9.filename_prefix=cached")
    assert "! ComfyUI made no picture." in said.stderr
    assert "--random-seed" in said.stderr


def test_dekitas_worker_tells_progress(artist: Person, dekita: str) -> None:
    """ComfyUI's websocket messages, which it passes on as texts, are read."""
    gate = Path("gate").absolute()
    command = artist.start(
        *("comfy", "run", TXT2IMG, "-e", dekita, "--worker", "dekita", "--json"),
        *("--set", f"9.filename_prefix=wait for {gate}"),
    )
    assert command.stdout is not None
    events = map(json.loads, command.stdout)
    progress = next(event for event in events if event["event"] == "progress")
    gate.touch()
    last = [*events][-1]
    command.communicate()
    assert (progress["progress"], progress["step"], progress["total_steps"]) == (25, 5, 20)
    assert (command.returncode, last["event"], len(last["files"])) == (0, "finished", 1)


def test_dekitas_worker_gets_files(artist: Person, dekita: str) -> None:
    """Their contents in a list, under the names that it gives them."""
    Image.new("RGB", (4, 4), "blue").save("face.png")
    said = artist.run(
        *("comfy", "run", IMG2IMG, "-e", dekita, "--worker", "dekita", "--json"),
        *("--image", "Load Image=face.png"),
    )
    assert said.code == 0, said.stderr
    seen = seen_by_worker(said.events[-1]["files"][0]["path"])
    assert seen["workflow"]["10"]["inputs"]["image"] == "upload-0.png"
    assert seen["files"] == [hashlib.sha256(Path("face.png").read_bytes()).hexdigest()]


def test_dekitas_worker_gets_the_bucket_in_its_input(artist: Person, dekita: str) -> None:
    """Its keys are nowhere else."""
    keys = {"BUCKET_ACCESS_KEY_ID": "an-id", "BUCKET_SECRET_ACCESS_KEY": KEY}
    bucket = ("--bucket", "generations", "--bucket-endpoint", "https://s3.example.org")
    run = ("comfy", "run", TXT2IMG, "-e", dekita, "--worker", "dekita", *bucket)
    shown = artist.run(*run, "--dry-run", **keys)
    body = shown.document["request"]["body"]
    assert (body["input"]["tobucket"]["accessSecret"], "s3Config" in body) == ("***", False)
    said = artist.run(*run, "-q", **keys)
    assert (said.code, said.stderr) == (0, "")
    assert seen_by_worker(said.stdout.split()[0])["bucket"] == {
        "endpointUrl": "https://s3.example.org",
        "accessId": "an-id",
        "bucketName": "generations",
    }
    assert KEY not in json.dumps(manifest_in(Path("outputs"))) + shown.stdout


def test_pictures_that_are_too_large_are_named(artist: Person, v5: str) -> None:
    """Which one is how large, and what helps; nothing is sent."""
    for name, size in (("large", 9_000_000), ("small", 1000)):
        Path(f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(size - 8))
    workflow = json.loads(Path(IMG2IMG).read_text())
    workflow["11"] = {"class_type": "LoadImageMask", "inputs": {"image": "m.png"}}
    Path("two.json").write_text(json.dumps(workflow))
    run = ("comfy", "run", "two.json", "-e", v5, "-i", "10=large.png", "-i", "11=small.png")
    said = artist.run(*run, "--json")
    first, *sizes = said.error["message"].split("\n")
    assert (said.code, said.error["error"], said.stdout) == (2, "payload_too_large", "")
    assert first == "The job's body has 12.0 MB; RunPod's /run takes 10 MB"
    assert sizes == ["large.png has 9.0 MB", "small.png has 1.0 kB"]
    assert "--sync, which takes 20 MB" in said.error["hint"]
    assert artist.run(*run, "--sync", "-q").code == 0


def test_the_official_worker_reads_no_bucket_from_a_job(artist: Person, v5: str) -> None:
    """It goes along for forks that do, and the person is told."""
    keys = {"BUCKET_ACCESS_KEY_ID": "an-id", "BUCKET_SECRET_ACCESS_KEY": KEY}
    said = artist.run(
        *("comfy", "run", TXT2IMG, "-e", v5, "--bucket", "generations", "--dry-run"),
        *("--bucket-endpoint", "https://s3.example.org"),
        **keys,
    )
    assert said.document["request"]["body"]["s3Config"]["bucketName"] == "generations"
    assert "! runpod/worker-comfyui reads no bucket from a job" in said.stderr


def test_nodes_are_listed(artist: Person) -> None:
    """All that can be set, and what comes from where; a workflow may come from a pipe."""
    said = artist.run("comfy", "nodes", "-", stdin=Path(IMG2IMG).read_text())
    by_id = {node["id"]: node for node in said.document}
    assert list(by_id) == list(json.loads(Path(IMG2IMG).read_text()))
    assert by_id["12"] == {
        "id": "12",
        "title": "VAE Encode",
        "class_type": "VAEEncode",
        "inputs": {},
        "links": {"pixels": ["10", 0], "vae": ["14", 2]},
    }
    assert by_id["10"]["inputs"] == {"image": "example.png", "upload": "image"}


def test_nodes_fit_on_a_terminal(artist: Person) -> None:
    """Id, title and class stand whole; what can be set may wrap."""
    with artist.at_terminal("comfy", "nodes", TXT2IMG, columns=100, lines=40) as terminal:
        assert terminal.until_end() == 0
    assert "5    Empty Latent Image          EmptyLatentImage         width=512" in terminal.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("saved.json",), "saved.json is a workflow as ComfyUI saves it"),
        (("nowhere.json",), "Cannot read nowhere.json"),
        (("picture.png",), "picture.png is no UTF-8 text, so no workflow"),
        ((TXT2IMG, "--set", "3.sed=1"), "KSampler (3) has no input sed; did you mean seed?"),
        ((TXT2IMG, "--image", "picture.png"), "No node of the workflow is a LoadImage"),
        ((TXT2IMG, "--seed", "1", "--random-seed"), "--seed and --random-seed exclude each other"),
        ((TXT2IMG, "--sync", "--detach"), "--sync and --detach exclude each other"),
        ((TXT2IMG, "--comfy-org-key"), "COMFY_ORG_API_KEY is not set"),
        ((TXT2IMG, "--comfy-org-key", "--worker", "dekita"), "Dekita's worker takes no --comfy"),
    ],
)
def test_what_cannot_be_sent_is_refused(
    artist: Person, arguments: tuple[str, ...], message: str
) -> None:
    """Before anything is."""
    Path("saved.json").write_text((DATA / "saved_by_ui.json").read_text())
    Path("picture.png").write_bytes(LINKED + b"\xff")
    said = artist.run("comfy", "run", *arguments)
    assert (said.code, said.stdout) == (2, "")
    assert ending(said).startswith(message)
