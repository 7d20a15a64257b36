"""Where a fault can strike: the operations of the APIs by name, and which of them a request means.

The names come from the tables of the APIs themselves, so that no path is written twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphql import FieldNode, GraphQLError, OperationDefinitionNode, parse

from runpodctl_py.emulator import json_text
from runpodctl_py.emulator.control.model import RESERVED_IDS
from runpodctl_py.emulator.graphql.resolvers import OPERATIONS as GRAPHQL
from runpodctl_py.emulator.jobs import api as job_api
from runpodctl_py.emulator.jobs import batch_api, openai_api
from runpodctl_py.emulator.workers import api as worker_api

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WORKER = "worker"
COLD_START = "coldstart"
JOB_DONE = "job-done"
PROGRESS = "progress"
_GRAPHQL = "graphql"
_REST = "rest"
_BATCH_OF_JOBS = "job-take-batch"


def _names(*tables: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the first words of the paths of some APIs, each once."""
    return tuple(dict.fromkeys(path.partition("/")[0] for table in tables for path in table))


_CLIENTS = _names(job_api.OPERATIONS, batch_api.OPERATIONS, openai_api.OPERATIONS)
_WORKERS = tuple(each for each in _names(worker_api.OPERATIONS) if each != _BATCH_OF_JOBS)
_FIELDS = tuple(
    f"{_GRAPHQL}.{field}" for root in ("Query", "Mutation") for field in sorted(GRAPHQL[root])
)

POSTED_BY_WORKERS = frozenset({JOB_DONE, PROGRESS, "job-stream"})
"""What a worker reports, as opposed to what it asks."""

REQUESTS = (*_CLIENTS, *_WORKERS, PROGRESS, _GRAPHQL, _REST, *_FIELDS)
"""Every place that is a request; `job-take` is `job-take-batch`, too."""


def place_of(path: str) -> str | None:
    """Returns the place of a request by its path; None if no fault can strike there.

    What a body decides is not known yet: `places_of` knows it.
    """
    first, _, rest = path.strip("/").partition("/")
    if first == _GRAPHQL:
        return _GRAPHQL
    endpoint_id, _, operation = rest.partition("/")
    if first != "v2":
        return None
    if endpoint_id in RESERVED_IDS:
        return _REST
    word = operation.partition("/")[0]
    if word == _BATCH_OF_JOBS:
        return "job-take"
    return word if word in _CLIENTS or word in _WORKERS else None


def possible_places(place: str) -> tuple[str, ...]:
    """Returns every place that a request may belong to, by its path's place alone."""
    if place == _GRAPHQL:
        return (_GRAPHQL, *_FIELDS)
    return (JOB_DONE, PROGRESS) if place == JOB_DONE else (place,)


def places_of(place: str, body: bytes) -> tuple[str, ...]:
    """Returns every place that a request belongs to, by its path's place and its body."""
    if place == _GRAPHQL:
        return (_GRAPHQL, *(f"{_GRAPHQL}.{field}" for field in _fields_of(body)))
    if place == JOB_DONE:
        return (PROGRESS if _object(body).get("status") == "IN_PROGRESS" else JOB_DONE,)
    return (place,)


def _fields_of(body: bytes) -> Iterator[str]:
    """Yields the fields that a GraphQL request asks of the roots."""
    query = _object(body).get("query")
    try:
        document = parse(query if isinstance(query, str) else "")
    except GraphQLError:
        return
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            for each in definition.selection_set.selections:
                if isinstance(each, FieldNode):
                    yield each.name.value


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json_text.parse_of_sdk(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
