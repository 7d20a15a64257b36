"""What can be set about one local RunPod; reads no environment and no file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runpodctl_py.emulator.clock import Clock, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PREFERRED_PORT = 8765


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """How to start a worker of one image as a process of this machine.

    Args:
        argv: The program and its arguments.
        env: Variables the image itself sets, as a Dockerfile's ENV would.
        cwd: The folder to start in; the worker's own empty one by default.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the emulator waits for what; the defaults suit people, tests make them short.

    Args:
        take_hold_s: How long a worker's poll for a job is held open. The SDK gives up after
            90 s and polls again at once whatever the answer (API reference 5.3).
        stop_hold_s: The same for a worker's poll for jobs to stop.
        ping_interval_ms: How often a worker pings; below 1000 the SDK's pings die
            (API reference 5.1).
        missed_pings: After how many silent intervals a worker counts as dead.
        start_limit_s: How long a worker may take until it asks for its first job; RunPod gives
            it 7 minutes.
        stop_grace_s: How long a worker may take to leave after SIGTERM, which it gets when its
            jobs are done or the emulator stops.
        cancel_grace_s: How long a worker may take to notice that its job was cancelled. A
            synchronous handler never notices (API reference 5.7).
        first_backoff_s: The wait after a worker failed to start; doubles with each failure.
        longest_backoff_s: Where the doubling ends.
    """

    take_hold_s: float = 20.0
    stop_hold_s: float = 20.0
    ping_interval_ms: int = 10_000
    missed_pings: int = 3
    start_limit_s: float = 420.0
    stop_grace_s: float = 5.0
    cancel_grace_s: float = 3.0
    first_backoff_s: float = 1.0
    longest_backoff_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Simulation:
    """What workers without a process do with a job: wait, report, answer with a small file.

    Args:
        delay_s: How long a job takes.
        jitter_s: By how much that varies, at most, either way.
        fail: The share of jobs that fail, 0 to 1.
        progress: How many progress updates a job sends on its way.
        concurrency: How many jobs one worker has at once.
        seed: Makes jitter and failures the same in every run, job by job as they are taken.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    fail: float = 0.0
    progress: int = 0
    concurrency: int = 100
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class EmulatorConfig:
    """Everything one local RunPod needs to know before it starts.

    Args:
        data_folder: Where its state, its token and the workers' logs live.
        port: The port on 127.0.0.1; 0 takes any free one, None prefers 8765 and falls back to
            any free one.
        token: The API key clients must send; by default the one kept in the data folder.
        images: How to start further images: an image's full name, or its last path component
            without tag, to a command.
        worker_env: Variables every worker gets, before those of its template.
        worker_quota: The most workers all endpoints may ask for together. RunPod starts accounts
            at 5 (API reference 1.4); here several presets with RunPod's default of 3 should fit.
        strict: Whether an endpoint's workers must be 0 before it is deleted, as RunPod's
            documents say and its service does not ask (API reference 1.4).
        introspection: Whether GraphQL answers questions about its schema; RunPod's does not.
        rate_limits: Whether the job API refuses too many requests, as RunPod's does (4.3).
        simulation: What workers do that are no processes; None starts real ones.
        containers: The container engine's program that runs the templates' images, such as
            /usr/bin/docker; None starts processes of this machine.
        capacity: How many worker processes this machine carries; more are shown as throttled.
        timings: How long to wait for what.
        clock: Where the time comes from; only a `VirtualClock` can be frozen and advanced.
        seed: Makes ids, and what simulated workers decide by chance, the same in every run.
        faults: What goes wrong on purpose from the start on, such as `run:429*3`.
    """

    data_folder: Path
    port: int | None = 0
    token: str | None = None
    images: Mapping[str, WorkerCommand] = field(default_factory=dict)
    worker_env: Mapping[str, str] = field(default_factory=dict)
    worker_quota: int = 30
    strict: bool = False
    introspection: bool = False
    rate_limits: bool = False
    simulation: Simulation | None = None
    containers: str | None = None
    capacity: int = 16
    timings: Timings = field(default_factory=Timings)
    clock: Clock = field(default_factory=VirtualClock)
    seed: int | None = None
    faults: Sequence[str] = ()
