"""What the console shows, as JSON: an overview of everything, and one job in full.

Knows no stream (`feed.py` does). The overview is made again and again while thousands of jobs go
by, so nothing large is read for it: of final jobs, what they were given and gave is left where it
is, and the rest is remembered.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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

_RUNNING = 50
_NEXT = 30
_LAST = 20
_COMPLETED = 100
_FAILED = 50
"""How many of an endpoint's jobs are shown: that run, that are next in the queue, that came last
into it, that were completed last, and that ended otherwise. So none of these hides the others,
however many there are."""
_SHOWN = _RUNNING + _NEXT + _LAST + _COMPLETED + _FAILED
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
        self._ended: dict[str, _Ended] = {}
        state.jobs.on_final.append(self._note_end)

    def overview(self) -> dict[str, Any]:
        """Returns endpoints with some of their jobs, workers, and the faults that are set."""
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
        """Returns a job in full, but for keys and passwords that it may have been given.

        They stand in its bucket and in its webhook's URL.
        """
        is_running = job.status is JobStatus.IN_PROGRESS
        return {
            **_brief(job),
            "input": job.request.get("input"),
            "webhook": _without_secrets(job.request.get("webhook")),
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

    def _note_end(self, job: Job) -> None:
        # One that had ended before and was retried is another one now.
        self._final.pop(job.id, None)
        if job.endpoint_id not in self._ended:
            endpoints = self._state.control.endpoints
            kept = {each: ended for each, ended in self._ended.items() if each in endpoints}
            self._ended = {**kept, job.endpoint_id: _Ended()}
        self._ended[job.endpoint_id].note(job)

    def _endpoint(self, endpoint: Endpoint, seen: dict[str, Job]) -> dict[str, Any]:
        jobs = self._state.jobs
        # One more than are shown: if there are fewer, these are all.
        newest = jobs.newest_ids(endpoint.id, _SHOWN + 1)
        queue = jobs.queue(endpoint.id, _COUNTED)
        running = chain.from_iterable(each.jobs for each in self._state.fleet.of(endpoint.id))
        ended = self._ended[endpoint.id].ids() if endpoint.id in self._ended else ()
        ids = chain(newest, islice(running, _RUNNING), (j.id for j in queue[:_NEXT]), ended)
        known = list(self._outlines(dict.fromkeys(ids)))
        seen.update({each.id: each for each in known})
        places = {each.id: place for place, each in enumerate(queue, 1)}
        shown = _share(known, places)
        return {
            **endpoint_shape(self._state, endpoint),
            "latest": [_in_overview(each, places.get(each.id)) for each in shown],
            "hasMore": len(shown) < len(known),
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


class _Ended:
    """The ids of an endpoint's jobs that ended last: behind a long queue, they are far back."""

    def __init__(self) -> None:
        self._completed: deque[str] = deque(maxlen=_COMPLETED)
        self._failed: deque[str] = deque(maxlen=_FAILED)

    def note(self, job: Job) -> None:
        is_completed = job.status is JobStatus.COMPLETED
        (self._completed if is_completed else self._failed).append(job.id)

    def ids(self) -> Iterator[str]:
        return chain(self._completed, self._failed)


def _share(jobs: Iterable[Job], places: Mapping[str, int]) -> list[Job]:
    """Returns those of an endpoint's jobs that are shown: some of each kind."""
    running, waiting, completed, failed = [], [], [], []
    for each in jobs:
        match each.status:
            case JobStatus.IN_PROGRESS:
                running.append(each)
            case JobStatus.IN_QUEUE:
                waiting.append(each)
            case JobStatus.COMPLETED:
                completed.append(each)
            case _:
                failed.append(each)
    waiting.sort(key=lambda each: (places.get(each.id, math.inf), each.queued_at))
    for ended in (completed, failed):
        ended.sort(key=lambda each: -(each.finished_at or 0))
    last = waiting[_NEXT:][-_LAST:]
    return [
        *running[:_RUNNING],
        *waiting[:_NEXT],
        *last,
        *completed[:_COMPLETED],
        *failed[:_FAILED],
    ]


def _without_secrets(url: Any) -> str | None:
    """Returns where a URL leads; who calls and what is asked may be as good as a password."""
    if url is None:
        return None
    try:
        parts = urlsplit(str(url))
    except ValueError:
        return "(no URL)"
    user, at, host = parts.netloc.rpartition("@")
    query = "?…" if parts.query or parts.fragment else ""
    return f"{parts.scheme}://{'…@' if at and user else ''}{host}{parts.path}{query}"


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
        "jobs": sorted(worker.jobs)[:_RUNNING],
        "jobCount": len(worker.jobs),
    }
