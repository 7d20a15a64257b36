"""A day of RunPod's Python package: prints as JSON what it made and got, with a secret in it."""

import json
import os
import sys

import runpod

runpod.api_key = os.environ["RUNPOD_API_KEY"]
SECRET = "hf_MARKERMARKERMARKERMARKER"

template = runpod.create_template(
    name="recorded", image_name="plain", is_serverless=True, env={"HF_TOKEN": SECRET, "SIZE": "3"}
)
made = runpod.create_endpoint(name="recorded", template_id=template["id"], gpu_ids="AMPERE_16")
endpoint = runpod.Endpoint(made["id"])
job = endpoint.run({"n": 1})
got = [
    template["name"],
    made["id"],
    job.job_id,
    job.output(timeout=30),
    endpoint.run_sync({"n": 2}, timeout=30),
    [each["id"] for each in runpod.get_endpoints()],
]
sys.stdout.write(json.dumps(got))
