"""What the console shows, as JSON: an overview of everything, and one job in full.

Knows no stream (`feed.py` does). The overview is made again and again while thousands of jobs go
by, so nothing large is read for it: of final jobs, what they were given and gave is left where it
is, and the rest is remembered.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from runpodctl_py import __version__
from runpodctl_py.emulator.jobs.job import JobStatus
from runpodctl_py.emulator.local_api import endpoint_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runpodctl_py.emulator.control.model import Endpoint
    from runpodctl_py.emulator.jobs.job import Job
    from runpodctl_py.emulator.lab.faults import Faults
    from runpodctl_py.emulator.state import State
    from runpodctl_py.emulator.workers.record import Worker

_NEWEST = 100
"""How many of an endpoint's jobs are shown."""
_RUNNING = 50
_NEXT = 20
"""Beside those: how many that run, and how many that are next in the queue."""
_COUNTED = 1000
"""Up to which place in the queue a job is told its place."""
_PROGRESS_CHARACTERS = 2000
"""How large a progress update may be to be shown in the overview."""


class View:
    """Looks at a local RunPod.

    Args:
        state: What there is.
        faults: What goes wrong on purpose.
    """

    def __init__(self, state: State, faults: Faults) -> None:
        self._state = state
        self._faults = faults
        self._final: dict[str, Job] = {}
        state.jobs.on_final.append(self._ended)

    def overview(self) -> dict[str, Any]:
        """Returns endpoints with their newest jobs, workers, and the faults that are set."""
        seen: dict[str, Job] = {}
        endpoints = [self._endpoint(each, seen) for each in self._state.control.endpoints.values()]
        self._final = {each.id: each for each in seen.values() if each.status.final}
        return {
            "version": __version__,
            "faults": [each.fault.text for each in self._faults],
            "endpoints": endpoints,
            "workers": [_worker(each) for each in self._state.fleet.workers.values()],
        }

    def job(self, job: Job) -> dict[str, Any]:
        """Returns a job in full, but for the keys to a bucket that it may have been given."""
        is_running = job.status is JobStatus.IN_PROGRESS
        return {
            **_brief(job),
            "input": job.request.get("input"),
            "webhook": job.request.get("webhook"),
            "hasBucket": "s3Config" in job.request,
            "policy": {
                "executionTimeout": job.policy.execution_timeout_ms,
                "ttl": job.policy.ttl_ms,
                "lowPriority": job.policy.low_priority,
            },
            "forgottenAt": job.forgotten_at,
            "progress": job.outcome.get("output") if is_running else None,
            "outcome": {} if is_running else job.outcome,
        }

    def _ended(self, job: Job) -> None:
        # One that had ended before and was retried is another one now.
        self._final.pop(job.id, None)

    def _endpoint(self, endpoint: Endpoint, seen: dict[str, Job]) -> dict[str, Any]:
        jobs = self._state.jobs
        newest = jobs.newest_ids(endpoint.id, _NEWEST + 1)
        queue = jobs.queue(endpoint.id, _COUNTED)
        running = chain.from_iterable(each.jobs for each in self._state.fleet.of(endpoint.id))
        ids = chain(newest[:_NEWEST], islice(running, _RUNNING), (j.id for j in queue[:_NEXT]))
        shown = list(self._outlines(dict.fromkeys(ids)))
        seen.update({each.id: each for each in shown})
        places = {each.id: place for place, each in enumerate(queue, 1)}
        return {
            **endpoint_shape(self._state, endpoint),
            "latest": [
                _in_overview(each, places.get(each.id))
                for each in sorted(shown, key=lambda each: -each.created_at)
            ],
            "hasOlder": len(newest) > _NEWEST,
        }

    def _outlines(self, ids: Iterable[str]) -> Iterator[Job]:
        now = self._state.now()
        for each in ids:
            job = self._final.get(each)
            # One that is retried is as it is now.
            if job is None or self._state.jobs.is_unfinished(each):
                job = self._state.jobs.outline(each)
            if job is not None and job.forgotten_at > now:
                yield job


def _brief(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "endpointId": job.endpoint_id,
        "status": job.status,
        "createdAt": job.created_at,
        "queuedAt": job.queued_at,
        "startedAt": job.started_at,
        "finishedAt": job.finished_at,
        "workerId": job.worker_id,
        "retries": job.retries,
    }


def _in_overview(job: Job, place: int | None) -> dict[str, Any]:
    brief = _brief(job)
    if place is not None:
        brief["place"] = place
    progress = job.outcome.get("output") if job.status is JobStatus.IN_PROGRESS else None
    if progress is not None and _size(progress, _PROGRESS_CHARACTERS) <= _PROGRESS_CHARACTERS:
        brief["progress"] = progress
    return brief


def _size(value: Any, limit: int) -> int:
    """Returns about how many characters a value takes, or some number above the limit."""
    if isinstance(value, str):
        return len(value)
    size = 1
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        inner = chain.from_iterable(value.items())
    elif isinstance(value, list):
        inner = value
    for each in inner:
        if size > limit:
            break
        size += _size(each, limit - size)
    return size


def _worker(worker: Worker) -> Mapping[str, Any]:
    return {
        "id": worker.id,
        "endpointId": worker.endpoint_id,
        "state": worker.state,
        "leaving": worker.leaving is not None,
        "version": worker.version,
        "startedAt": worker.started_at,
        "jobs": sorted(worker.jobs)[:_NEWEST],
        "jobCount": len(worker.jobs),
    }
