"""ComfyUI workers without ComfyUI: what they take, and every form in which they answer.

`COMFY_SPEAKS` says whose words these are (workers reference C): `v5` and `v4` of worker-comfyui,
or `dekita`. What happens is the `filename_prefix` of the workflow's SaveImage. A picture holds, as
text, what the worker was sent.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import runpod
from PIL import Image
from PIL.PngImagePlugin import PngInfo

LINK = os.environ.get("COMFY_LINK", "")


def handler(job: dict[str, Any]) -> Any:
    """Do as the worker does that this one speaks like."""
    asked = job["input"]
    if asked.get("workflow") is None:
        return {"error": "Missing 'workflow' parameter"}
    return {"v5": v5, "v4": v4, "dekita": dekita}[os.environ["COMFY_SPEAKS"]](job, asked)


def v5(job: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """worker-comfyui since 5.0.0, with the progress of its latest version."""
    pictures = {each["name"]: content_of(each["image"]) for each in asked.get("images", [])}
    runpod.serverless.progress_update(
        job, {"type": "progress", "value": 5, "max": 20, "percent": 25.0, "node": "3"}
    )
    seen = {
        "workflow": asked["workflow"],
        "pictures": pictures,
        "key": "comfy_org_api_key" in asked,
    }
    images = [
        {"filename": f"{what(asked)}_0000{n}_.png", "type": "base64", "data": picture(seen, n)}
        for n in (1, 2)
    ]
    match what(asked):
        case "invalid":
            return {"error": "Workflow validation failed:\n• Node 4 (ckpt_name): not in list"}
        case "partial":
            return {"images": images[:1], "errors": ["Node 9: could not fetch its second image"]}
        case "cached":
            return {"status": "success_no_images", "images": []}
        case "link":
            return {"images": [{"filename": "a.png", "type": "s3_url", "data": LINK}]}
        case _:
            return {"images": images}


def v4(_: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """worker-comfyui before 5.0.0: one picture, or a failure that RunPod calls COMPLETED."""
    match what(asked):
        case "invalid":
            return {"status": "error", "message": "Invalid prompt", "details": ["Node 4"]}
        case "slow":
            return {"error": "Max retries reached while waiting for image generation"}
        case _:
            return {"status": "success", "message": picture({"workflow": asked["workflow"]}, 1)}


def dekita(job: dict[str, Any], asked: dict[str, Any]) -> Any:
    """Dekita's fork."""
    runpod.serverless.progress_update(
        job, json.dumps({"type": "progress", "data": {"value": 5, "max": 20, "node": "3"}})
    )
    files = [content_of(each) for each in asked.get("files", [])]
    bucket = {key: value for key, value in asked.get("tobucket", {}).items() if "Secret" not in key}
    seen = {"workflow": asked["workflow"], "files": files, "bucket": bucket}
    match what(asked):
        case str(words) if words.startswith("wait for "):
            # The job ends when the test has read how far it is.
            while not Path(words.removeprefix("wait for ")).exists():
                time.sleep(0.02)
            return {"files": [LINK], "datas": {}}
        case "error":
            return "Error queuing workflow: HTTP Error 400: Bad Request"
        case "local":
            return {"files": ["/comfyui/output/ComfyUI_00001_.png"], "datas": {}}
        case "link":
            return {"files": [LINK], "datas": {"12": {"text": ["two words"]}}}
        case _:
            assert bucket or asked["tobase64"] is True
            return {"files": [picture(seen, 1), picture(seen, 2)], "datas": {}}


def what(asked: dict[str, Any]) -> str:
    """Return what should happen."""
    savers = (n for n in asked["workflow"].values() if n["class_type"] == "SaveImage")
    return str(next(savers)["inputs"]["filename_prefix"])


def content_of(text: str) -> str:
    """Return the hash of a picture that was sent."""
    return hashlib.sha256(base64.b64decode(text, validate=True)).hexdigest()


def picture(seen: dict[str, Any], number: int) -> str:
    """Return a picture in base64 that tells what the worker saw."""
    text, content = PngInfo(), io.BytesIO()
    text.add_text("seen", json.dumps(seen))
    Image.new("RGB", (number, number), "red").save(content, "PNG", pnginfo=text)
    return base64.b64encode(content.getvalue()).decode()


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
