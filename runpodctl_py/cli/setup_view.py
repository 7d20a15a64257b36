"""How a setup looks: the plan, each step, and what to do next.

Owns the words and the JSON of `setup-*`. Changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runpodctl_py.cli.stand_ins import Serving, how_to_have_the_real_one
from runpodctl_py.gpus import price_per_s_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runpodctl_py.cli.context import Context
    from runpodctl_py.jsontypes import JsonObject, JsonValue
    from runpodctl_py.presets.model import InputField, Preset
    from runpodctl_py.provision import (
        Applied,
        Desired,
        EndpointChange,
        FieldChange,
        Plan,
        TemplateChange,
    )

#: Images that the bundled presets name, and that nobody has pushed anywhere.
_UNPUBLISHED = "runpodctl/"


class SetupView:
    """Shows one setup.

    Args:
        context: Where to show it, and whether it is local.
        preset: What is set up.
        desired: What should exist.
        plan: What will change.
        env_keys: The keys of `.env` that will be written.
        source: The preset as the person named it.
        serving: Who serves the image on the local RunPod.
    """

    def __init__(
        self,
        context: Context,
        preset: Preset,
        desired: Desired,
        plan: Plan,
        env_keys: tuple[str, ...],
        *,
        source: str,
        serving: Serving | None = None,
    ) -> None:
        self._context = context
        self._output = context.output
        self._preset = preset
        self._desired = desired
        self._plan = plan
        self._env_keys = env_keys
        self._source = source
        self._serving = serving or Serving()
        path = context.settings.env_path
        self._env_name = path.name if path.parent == Path.cwd() else str(path)

    def show_plan(self) -> None:
        """Show what will be done."""
        where = "the local RunPod" if self._context.settings.is_local else "RunPod"
        self._output.note(f"{self._preset.title} on {where}", style="bold")
        self._output.note()
        for line in self._plan_lines():
            self._output.note(line)
        self._output.note()
        if price := self._price_line():
            self._output.note(f"  {price}")
            self._output.note()
        problem = self._image_problem()
        if problem and not self._output.as_json:
            self._output.warn(problem)
        self._note_stand_in()

    def show_dry_run(self, requests: Sequence[JsonObject]) -> None:
        """Show what would be done, and the exact requests; values of secrets are hidden."""
        self.show_plan()
        shown: list[JsonValue] = [
            {operation: self._without_secrets(fields) for operation, fields in request.items()}
            for request in requests
        ]
        self._output.document({**self._document(), "dry_run": True, "requests": shown})

    def show_unchanged(self) -> None:
        """Say in one line that nothing has to be done."""
        if self._output.as_json:
            self._output.document(self._document())
        else:
            self._output.result(
                f"template unchanged · endpoint unchanged · {self._env_name} unchanged"
            )
            self._note_stand_in()

    def show_applied(self, applied: Applied) -> None:
        """Show one resource that is there now."""
        self._output.done(f"{applied.kind:<10} {applied.resource_id}")

    def show_done(self, endpoint_id: str, written: Sequence[str]) -> None:
        """Show what was written where, and what to do next."""
        for key in written:
            self._output.done(f"{self._env_name:<10} {key}={endpoint_id}")
        if self._output.as_json:
            self._output.document({**self._document(), "endpoint_id": endpoint_id})
            return
        self._output.note()
        self._output.note(f"Try it:  {self._example()}")

    def _note_stand_in(self) -> None:
        """Say whose work the results will be, and how to have the real worker's."""
        if sentence := self._serving.sentence:
            self._output.note(f"  {sentence}", style="yellow")
            for line in how_to_have_the_real_one(self._plan.endpoint.target.name):
                self._output.note(f"  {line}")
            self._output.note()

    def _image_problem(self) -> str | None:
        """Say why no worker will come of the image, if that is known beforehand."""
        image = self._plan.template.target.image
        if self._plan.template.action == "unchanged":
            return None
        if self._context.settings.is_local:
            if self._serving.is_by_nobody:
                return (
                    f"The local RunPod runs {image} with `local up --containers`, or your code for "
                    "it with `local up --handler`: otherwise its workers will be unhealthy."
                )
        elif image == self._preset.template.image and image.startswith(_UNPUBLISHED):
            return (
                f"{image} is not published yet, so no worker will start: build it, push it, and "
                "name it with --image."
            )
        return None

    def _plan_lines(self) -> list[str]:
        template, endpoint = self._plan.template, self._plan.endpoint
        lines = []
        if self._plan.gone_id:
            lines.append(f"  ({self._plan.gone_id} from {self._env_name} does not exist any more)")
        names = (template.target.name, endpoint.target.name, *self._env_keys)
        width = max(map(len, names))
        lines += _resource_lines("template", template, width, self._template_text())
        lines += _resource_lines("endpoint", endpoint, width, self._endpoint_text())
        lines += [f"  {self._env_name:<10} {key:<{width}}   write" for key in self._env_keys]
        return lines

    def _template_text(self) -> str:
        target = self._plan.template.target
        return f"image {target.image}, {target.container_disk_gb} GB disk"

    def _endpoint_text(self) -> str:
        target = self._plan.endpoint.target
        limit = target.execution_timeout_ms // 1000
        return (
            f"{target.gpu_ids.replace(',', ', ')} · {target.workers_min} to {target.workers_max} "
            f"workers · idle {target.idle_timeout_s} s · "
            f"{f'timeout {limit} s' if limit else 'no timeout'}"
        )

    def _price_line(self) -> str | None:
        if self._context.settings.is_local:
            return None
        price = price_per_s_usd(self._desired.gpu, self._desired.gpu_count)
        if price is None:
            return "The price of this pool is not in RunPod's published table."
        running = f"${price:.5f} per second and worker (${price * 3600:.2f} per hour)."
        if count := self._desired.workers_min:
            always = price * 3600 * count
            return f"{count} always running: ${always:.2f} per hour, used or not. Each: {running}"
        return f"Costs nothing while idle. Running: {running}"

    def _example(self) -> str:
        local = " --local" if self._context.settings.is_local else ""
        if self._preset.example is not None:
            return f"runpodctl-py {self._preset.example}{local}"
        required = [
            f" --set {_example_of(field)}"
            for field in self._preset.input.values()
            if field.required
        ]
        return f"runpodctl-py submit --preset {self._source}{''.join(required)}{local}"

    def _document(self) -> JsonObject:
        plan = self._plan
        return {
            "preset": self._preset.name,
            "template": _change_document(plan.template, plan.template.target.template_id),
            "endpoint": _change_document(plan.endpoint, plan.endpoint.target.endpoint_id),
            "endpoint_id": plan.endpoint.target.endpoint_id,
            "env_file": {
                "path": str(self._context.settings.env_path),
                "keys": list(self._env_keys),
            },
            "price_per_hour_usd": self._price_per_hour(),
            "stand_in": self._serving.sentence,
            "warnings": [problem] if (problem := self._image_problem()) else [],
        }

    def _without_secrets(self, fields: JsonValue) -> JsonValue:
        """Hide the values of variables, but for those that stand in the preset for all to see."""
        pairs = fields.get("env") if isinstance(fields, dict) else None
        if not isinstance(fields, dict) or not isinstance(pairs, list):
            return fields
        public = [{"key": key, "value": value} for key, value in self._preset.template.env.items()]
        shown: list[JsonValue] = [
            {**pair, "value": "…"} if isinstance(pair, dict) and pair not in public else pair
            for pair in pairs
        ]
        return {**fields, "env": shown}

    def _price_per_hour(self) -> float | None:
        if self._context.settings.is_local:
            return 0.0
        price = price_per_s_usd(self._desired.gpu, self._desired.gpu_count)
        return None if price is None else round(price * 3600, 6)


def _resource_lines(
    kind: str, change: TemplateChange | EndpointChange, width: int, description: str
) -> list[str]:
    """Describe a new resource by what it is, an existing one by what changes, field by field."""
    head = f"  {kind:<10} {change.target.name:<{width}}   "
    if change.action == "create":
        return [f"{head}create   {description}"]
    if change.action == "unchanged":
        return [f"{head}unchanged"]
    first, *more = [_field_text(c) for c in change.changes]
    return [f"{head}{first}", *(f"{'':<{len(head)}}{text}" for text in more)]


def _example_of(field: InputField) -> str:
    """Write a value for a first try."""
    if field.type == "file":
        return f"{field.name}=@FILE"
    return f'{field.name}="{field.example if field.example is not None else "…"}"'


def _field_text(change: FieldChange) -> str:
    old = "not set" if change.old in ("", None) else change.old
    new = "not set" if change.new in ("", None) else change.new
    return f"{change.name} {old} → {new}"


def _change_document(
    change: TemplateChange | EndpointChange, resource_id: str | None
) -> JsonObject:
    changes: list[JsonValue] = [
        {"field": c.name, "old": _scalar(c.old), "new": _scalar(c.new)} for c in change.changes
    ]
    return {
        "action": change.action,
        "id": resource_id,
        "name": change.target.name,
        "changes": changes,
    }


def _scalar(value: object) -> JsonValue:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
