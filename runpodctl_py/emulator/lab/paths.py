"""Which of RunPod's APIs a path belongs to."""

from __future__ import annotations

from runpodctl_py.emulator.control.model import RESERVED_IDS
from runpodctl_py.emulator.workers import api as worker_api

_WORKERS = frozenset(path.partition("/")[0] for path in worker_api.OPERATIONS)


def is_graphql(path: str) -> bool:
    """Returns whether it is that of GraphQL."""
    return path.strip("/") == "graphql"


def is_rest(path: str) -> bool:
    """Returns whether it is one of REST v2, with a word where others have an endpoint's id."""
    version, _, rest = path.strip("/").partition("/")
    return version == "v2" and rest.partition("/")[0] in RESERVED_IDS


def is_of_users(path: str) -> bool:
    """Returns whether it belongs to an API that RunPod's clients ask, and no worker."""
    first, _, rest = path.strip("/").partition("/")
    if first == "graphql":
        return True
    operation = rest.partition("/")[2].partition("/")[0]
    return first == "v2" and (is_rest(path) or operation not in _WORKERS)
