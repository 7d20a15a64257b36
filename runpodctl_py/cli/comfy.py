"""`comfy run` and `comfy nodes`: a ComfyUI workflow to an endpoint, and what can be set in it.

Owns the options and what is said about a workflow. What a worker is sent is made in
`workloads/comfy.py`; sending and following it is `sending.py`'s.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from runpodctl_py.cli import options
from runpodctl_py.cli.context import Context, opened, run
from runpodctl_py.cli.house_style import App
from runpodctl_py.cli.output import Column, Output, bytes_text
from runpodctl_py.cli.payload import read_text
from runpodctl_py.errors import PayloadTooLargeError, UsageError
from runpodctl_py.presets import loading
from runpodctl_py.presets.fields import shown
from runpodctl_py.settings import COMFY_ORG_API_KEY
from runpodctl_py.workloads import comfy
from runpodctl_py.workloads.comfy_changes import LARGEST_SEED
from runpodctl_py.workloads.comfy_reading import read_workflow
from runpodctl_py.workloads.comfy_workflow import EXPORT_HINT

if TYPE_CHECKING:
    from runpodctl_py.cli.sending import Order
    from runpodctl_py.jobs.collect import Summary
    from runpodctl_py.jsontypes import JsonObject, JsonValue
    from runpodctl_py.workloads.comfy_workflow import Node, Workflow

app = App(no_args_is_help=True)

#: Short enough to be typed again.
_RANDOM_SEEDS = 2**32

WorkflowFile = Annotated[
    str,
    typer.Argument(metavar="WORKFLOW", help="A workflow in ComfyUI's API format; - for stdin."),
]


@app.callback()
def comfy_commands() -> None:
    """Run ComfyUI workflows on an endpoint, and see what can be set in them."""


@app.command("run")
def run_workflow(
    workflow: WorkflowFile,
    *,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="NODE.INPUT=VALUE",
            help="Change an input: NODE.input=value, NODE.input=@file, NODE.input:=json. NODE is "
            "an id, a title or a class. Repeatable.",
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            "-i",
            metavar="[NODE=]FILE",
            help="Send a picture for a node that loads one; NODE may be left out if there is only "
            "one LoadImage. Repeatable.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", min=0, max=LARGEST_SEED, help="The seed of every node with one."
        ),
    ] = None,
    random_seed: Annotated[
        bool,
        typer.Option(
            "--random-seed",
            help="Draw that seed: ComfyUI makes nothing new of a workflow that it has just run.",
        ),
    ] = False,
    worker: Annotated[
        comfy.Worker,
        typer.Option("--worker", help="The kind of worker: runpod/worker-comfyui, or Dekita's."),
    ] = comfy.Worker.OFFICIAL,
    comfy_org_key: Annotated[
        bool,
        typer.Option(
            "--comfy-org-key",
            help=f"Send {COMFY_ORG_API_KEY} along, for nodes that use Comfy.org's API.",
        ),
    ] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Use /runsync: up to 20 MB, kept for a minute only.")
    ] = False,
    endpoint: options.EndpointId = None,
    sending: options.Sending,
    bucket: options.Bucket,
    following: options.Following,
    common: options.Common,
) -> None:
    """Send a workflow, follow it, and save its pictures.

    Examples:
      runpodctl-py comfy run workflow_api.json --set 6.text="a lake at dawn" --random-seed
      runpodctl-py comfy run img2img.json --image portrait.png --set KSampler.denoise=0.6
      runpodctl-py comfy run workflow_api.json --local

    Export the workflow with ComfyUI's menu: File (or Workflow) -> Export (API).
    """
    options.check_one_at_most({"--seed": seed is not None, "--random-seed": random_seed})
    options.check_one_at_most({"--sync": sync, "--detach": sending.detach})
    if comfy_org_key and worker is comfy.Worker.DEKITA:
        raise UsageError("Dekita's worker takes no --comfy-org-key")
    if random_seed:
        seed = secrets.randbelow(_RANDOM_SEEDS)
    read = _read(workflow)
    request = comfy.Request.of(
        read, settings=setting or (), images=image or (), seed=seed, worker=worker
    )
    preset = loading.load("comfyui")
    # Not before: a usage error should not have to wait for the HTTP client to be loaded.
    from runpodctl_py.cli.sending import Order
    from runpodctl_py.cli.wish import Wish

    with opened(common, is_quiet=following.quiet) as context:
        secret = _secrets(context, worker, bucket, sends_key=comfy_org_key, shows=sending.dry_run)
        order = Order(
            payload=request.payload(secret),
            preset=preset,
            endpoint=endpoint,
            wish=Wish.of(following, preset.name),
            sending=sending,
            bucket=options.Bucket() if worker is comfy.Worker.DEKITA else bucket,
            is_sync=sync,
        )
        _tell(context.output, read, request)
        if worker is comfy.Worker.OFFICIAL and bucket.bucket is not None:
            context.output.warn(_NO_BUCKET)
        if random_seed and not sending.dry_run:
            _tell_seed(context.output, seed)
        summary = _sent(context, order, request)
        if summary is not None:
            _tell_what_is_missing(context.output, summary)


@app.command()
def nodes(workflow: WorkflowFile, *, as_json: options.Json = False) -> None:
    """List a workflow's nodes, and what can be set in them.

    Example:
      runpodctl-py comfy nodes workflow_api.json
    """
    found = [*_read(workflow).nodes.values()]
    Output(as_json=as_json).table(
        [Column("id"), Column("title"), Column("class"), Column("what can be set")],
        [(n.node_id, n.title or "-", n.class_type, _settable_text(n)) for n in found],
        [_node_document(node) for node in found],
    )


_NO_BUCKET = (
    "runpod/worker-comfyui reads no bucket from a job: unless yours is a fork that does, pictures "
    "come back as base64. Give its endpoint the bucket:  runpodctl-py setup-comfyui --env @FILE, "
    "with BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY"
)


def _read(source: str) -> Workflow:
    try:
        text = read_text(source)
    except UsageError as exc:
        if isinstance(exc.__cause__, UnicodeDecodeError):
            exc.message = f"{exc.message}, so no workflow"
            exc.hint = EXPORT_HINT
        raise
    return read_workflow(text, "stdin" if source == "-" else source)


def _secrets(
    context: Context,
    worker: comfy.Worker,
    asked: options.Bucket,
    *,
    sends_key: bool,
    shows: bool,
) -> JsonObject:
    """Return what goes into the input that must not be seen; masked if it is only shown."""
    from runpodctl_py.cli.buckets import bucket_of
    from runpodctl_py.jobs.masking import masked

    found: JsonObject = {}
    if sends_key and context.settings.is_local:
        raise UsageError(f"{COMFY_ORG_API_KEY} goes to RunPod only: leave --comfy-org-key out")
    if sends_key:
        key = context.settings.get(COMFY_ORG_API_KEY)
        if key is None:
            raise UsageError(
                f"{COMFY_ORG_API_KEY} is not set",
                hint=f"Put {COMFY_ORG_API_KEY}=… into the environment or .env; it never goes onto "
                "a command line.",
            )
        found["comfy_org_api_key"] = key
    if worker is comfy.Worker.DEKITA:
        bucket = bucket_of(asked, context.settings)
        if bucket is not None:
            found["tobucket"] = comfy.tobucket(bucket.s3_config())
    hidden = masked(found)
    return hidden if shows and isinstance(hidden, dict) else found


def _tell(output: Output, workflow: Workflow, request: comfy.Request) -> None:
    """Say what of the file is not sent, and which pictures have to be on the worker."""
    if workflow.left_out:
        output.note(f"Not sent: {', '.join(workflow.left_out)}, which stood in the file, too.")
    for node in request.waiting:
        output.note(
            f"{node.label} loads {node.inputs['image']}, which has to be on the worker. Send one:"
            f"  --image {node.node_id}=FILE",
        )


def _tell_seed(output: Output, seed: int | None) -> None:
    if output.as_json:
        output.event({"event": "seed", "seed": seed})
    else:
        output.note(f"Seed {seed}; the same again with --seed {seed}")


def _sent(context: Context, order: Order, request: comfy.Request) -> Summary | None:
    from runpodctl_py.cli.sending import send

    try:
        return run(send(context, order))
    except PayloadTooLargeError as exc:
        sizes = sorted(
            ((len(each.content), str(each.path)) for each in request.pictures.values()),
            reverse=True,
        )
        lines = [f"{path} has {bytes_text(size)}" for size, path in sizes]
        exc.message = "\n".join((exc.message, *lines))
        if lines:
            exc.hint = (
                "In base64 a picture is a third larger. Make it smaller, or save it as JPEG or "
                "WebP" + ("." if order.is_sync else ", or use --sync, which takes 20 MB.")
            )
        raise


def _tell_what_is_missing(output: Output, summary: Summary) -> None:
    """Say what a result means that only somebody who knows these workers can tell."""
    if comfy.made_nothing(summary.output):
        output.warn(
            "ComfyUI made no picture. It makes none of a workflow that it has just run "
            "(--random-seed), nor without a node that saves one."
        )


def _settable_text(node: Node) -> str:
    return ", ".join(f"{name}={shown(value)}" for name, value in node.settable.items()) or "-"


def _node_document(node: Node) -> JsonValue:
    return {
        "id": node.node_id,
        "title": node.title,
        "class_type": node.class_type,
        "inputs": node.settable,
        "links": {name: [link.node_id, link.slot] for name, link in node.links.items()},
    }
