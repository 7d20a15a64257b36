"""From a person's words to the input of a ComfyUI worker.

Owns the two forms that workers take (workers reference C): the official worker-comfyui's and that
of Dekita's fork. Workflows are `comfy_workflow.py`'s, changes `comfy_changes.py`'s, pictures
`comfy_images.py`'s.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from runpodctl_py.errors import UsageError
from runpodctl_py.workloads.comfy_changes import with_seed, with_settings
from runpodctl_py.workloads.comfy_images import not_sent, placed_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runpodctl_py.jsontypes import JsonObject, JsonValue
    from runpodctl_py.workloads.comfy_images import Picture, Placed
    from runpodctl_py.workloads.comfy_workflow import Node, Workflow


class Worker(StrEnum):
    """Which kind of worker an endpoint runs."""

    OFFICIAL = "official"
    DEKITA = "dekita"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a ComfyUI worker.

    Args:
        workflow: With everything that was changed.
        placed: The pictures that go with it, each with the input that loads it.
        worker: Which form the worker takes.
    """

    workflow: Workflow
    placed: tuple[Placed, ...] = ()
    worker: Worker = Worker.OFFICIAL

    @classmethod
    def of(
        cls,
        workflow: Workflow,
        *,
        settings: Sequence[str] = (),
        images: Sequence[str] = (),
        seed: int | None = None,
        worker: Worker = Worker.OFFICIAL,
    ) -> Request:
        """Put together what a person asked for.

        Args:
            workflow: As it was read.
            settings: What stands behind `--set`; it wins over the seed.
            images: What stands behind `--image`.
            seed: The seed of all nodes that have one.
            worker: Which form the worker takes.

        Raises:
            UsageError: Something of it is wrong.
        """
        if workflow.brought and worker is Worker.DEKITA:
            raise UsageError(
                "The file has images of its own, which Dekita's worker does not take by name",
                hint="Give each with --image NODE=FILE, and leave images out of the file.",
            )
        if seed is not None:
            workflow = with_seed(workflow, seed)
        return cls(with_settings(workflow, settings), placed_pictures(workflow, images), worker)

    @property
    def pictures(self) -> dict[str, Picture]:
        """The pictures by their name on the worker, each once."""
        different = {each.picture.name: each.picture for each in self.placed}
        if self.worker is Worker.OFFICIAL:
            return different
        # Dekita's worker names them itself, by their order.
        return {f"upload-{n}.png": picture for n, picture in enumerate(different.values())}

    @property
    def waiting(self) -> tuple[Node, ...]:
        """The nodes that load a picture which has to be on the worker already."""
        workflow = self._loading()
        brought = (each.name for each in workflow.brought)
        return not_sent(workflow, (*self.pictures, *brought))

    def payload(self, secrets: Mapping[str, JsonValue] | None = None) -> JsonObject:
        """Return the job's input.

        Args:
            secrets: What else goes into it: the key for API nodes, the bucket and its keys.
        """
        workflow: JsonValue = self._loading().as_json()
        contents = [
            (name, base64.b64encode(picture.content).decode("ascii"))
            for name, picture in self.pictures.items()
        ]
        given = dict(secrets or {})
        if self.worker is Worker.DEKITA:
            files: list[JsonValue] = [content for _, content in contents]
            how: JsonObject = {} if "tobucket" in given else {"tobase64": True}
            return {"workflow": workflow, **({"files": files} if files else {}), **how, **given}
        contents += [(each.name, each.content_base64) for each in self.workflow.brought]
        images: list[JsonValue] = [{"name": name, "image": image} for name, image in contents]
        return {"workflow": workflow, **({"images": images} if images else {}), **given}

    def _loading(self) -> Workflow:
        """Return the workflow whose nodes load the pictures that go with it."""
        workflow = self.workflow
        names = {picture.name: name for name, picture in self.pictures.items()}
        for each in self.placed:
            name = names[each.picture.name]
            workflow = workflow.with_input(each.node_id, each.input_name, name)
        return workflow


def tobucket(s3_config: Mapping[str, JsonValue]) -> JsonObject:
    """Return a bucket as Dekita's worker takes it: inside the input, without a path.

    Args:
        s3_config: The bucket as it would stand beside the input (API reference 4.2).

    Raises:
        UsageError: It has a path.
    """
    if s3_config.get("objectPath"):
        raise UsageError("Dekita's worker takes no path in the bucket: leave --bucket-path out")
    keys = ("endpointUrl", "accessId", "accessSecret", "bucketName")
    return {key: s3_config[key] for key in keys}


def made_nothing(output: JsonValue) -> bool:
    """Tell whether ComfyUI ended well and returned no picture (worker-comfyui 5)."""
    return isinstance(output, dict) and output.get("status") == "success_no_images"
