"""What a preset is: a container, how its endpoint scales, and what its jobs take as input.

Owns the settings as typed values and the judgement of a whole input; single fields judge
themselves in `fields`. Knows nothing of files: `loading` and `parsing` make these values.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, TypeAlias

from runpodctl_py.errors import UsageError
from runpodctl_py.presets.fields import InputField, guess_value, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runpodctl_py.gpus import GpuSelection
    from runpodctl_py.jsontypes import JsonValue

__all__ = [
    "EndpointSettings",
    "InputField",
    "Preset",
    "Scaler",
    "TemplateSettings",
    "guess_value",
]

Scaler: TypeAlias = Literal["queue-delay", "request-count"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSettings:
    """The container that a worker is started from (API reference 1.3).

    Args:
        name: The template's name, unique within an account.
        image: The container image.
        container_disk_gb: The worker's own disk, in GB.
        start_command: Replaces the image's command (RunPod's `dockerArgs`); empty to keep it.
        env: Environment variables of the container.
    """

    name: str
    image: str
    container_disk_gb: int
    start_command: str
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """Where workers run, how many there are and how long (API reference 1.4).

    Args:
        name: The endpoint's name; RunPod does not insist that it is unique.
        gpu: The pools to take cards from.
        gpu_count: How many cards each worker gets.
        workers_min: Workers that always run, and are billed for it.
        workers_max: The most workers at a time; an account's quota counts these.
        idle_timeout_s: How long a worker waits for the next job before it stops.
        execution_timeout_s: How long a job may run; 0 for no limit.
        scaler: What starts a worker: jobs that wait too long, or too many jobs for each worker.
        scaler_value: The delay in seconds, or the number of jobs.
        flashboot: Whether RunPod may keep a stopped worker's state for a faster start.
        network_volume: The id of the network volume to mount, if any.
        data_centers: The data centres to stay in; empty for any.
        allowed_cuda_versions: The host's CUDA versions that will do; empty for any.
    """

    name: str
    gpu: GpuSelection
    gpu_count: int
    workers_min: int
    workers_max: int
    idle_timeout_s: int
    execution_timeout_s: int
    scaler: Scaler
    scaler_value: int
    flashboot: bool
    network_volume: str | None
    data_centers: tuple[str, ...]
    allowed_cuda_versions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Something that can be deployed and given jobs.

    Args:
        name: What people call it on the command line.
        title: Its headline.
        description: What it does, in a sentence or two.
        env_key: The environment variable that holds the endpoint's id.
        example: A command for a first try, as it stands behind `runpodctl-py`; None if there is
            none that is shorter than naming every field.
        template: The container.
        endpoint: The endpoint.
        input: The fields of a job's input by name; empty if the preset declares none, and then
            every input is taken as it is.
        returns_object: Whether every output that is a success is a JSON object: a mere text then
            says what went wrong.
    """

    name: str
    title: str
    description: str
    env_key: str
    template: TemplateSettings
    endpoint: EndpointSettings
    input: Mapping[str, InputField]
    returns_object: bool = False
    example: str | None = None

    def parse_value(self, field_name: str, text: str) -> JsonValue:
        """Read one `key=value` of the command line, by the type of its field.

        Limits are left to `check_input`, which sees the whole input.

        Raises:
            UsageError: If there is no such field, or the text is no value of its type.
        """
        if not self.input:
            return guess_value(text)
        if field_name not in self.input:
            raise UsageError(self._unknown(field_name), hint=self._fields_hint())
        return self.input[field_name].parse(text)

    def check_input(self, payload: Mapping[str, JsonValue]) -> None:
        """Judge a job's input before it costs anything.

        Raises:
            UsageError: If the worker would refuse it; one line of the message per problem.
        """
        problems = list(self._problems(payload)) if self.input else []
        if problems:
            raise UsageError("\n".join(problems), hint=self._fields_hint())

    def _problems(self, payload: Mapping[str, JsonValue]) -> Iterator[str]:
        for name, field in self.input.items():
            if name in payload:
                if not field.accepts(payload[name]):
                    yield f"{name} must be {field.expectation}, not {_described(payload[name])}"
            elif field.required:
                yield f"{name} is missing: {field.expectation}"
        for name in payload:
            if name not in self.input:
                yield self._unknown(name)

    def _unknown(self, field_name: str) -> str:
        nearest = get_close_matches(field_name, self.input, n=1)
        suggestion = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"{self.name} has no input field {field_name}{suggestion}"

    def _fields_hint(self) -> str:
        return f"Fields of {self.name}: {', '.join(self.input)}"


def _described(value: JsonValue) -> str:
    """Write a value for a message; of one that is cut short, say how long it is."""
    text = shown(value)
    is_cut = isinstance(value, str) and len(text) < len(value)
    return f"{text} ({len(str(value))} characters)" if is_cut else text
