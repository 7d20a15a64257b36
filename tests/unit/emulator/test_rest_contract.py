"""The contract that requests of REST v2 are checked with, and the words for what breaks it."""

from __future__ import annotations

import runpy
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from runpodctl_py.emulator.rest import contract as rest_contract
from runpodctl_py.emulator.rest import times
from runpodctl_py.emulator.rest.api import OPERATIONS
from runpodctl_py.emulator.rest.contract import Contract
from runpodctl_py.emulator.rest.problems import ProblemError

ROOT = Path(__file__).parents[3]
ENDPOINT: dict[str, Any] = {
    "name": "e",
    "image": "a",
    "type": "QUEUE",
    "gpu": {"pools": ["ADA_24"]},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
}


@pytest.fixture(scope="module")
def contract() -> Contract:
    """The contract that is shipped."""
    return Contract.load()


def errors_of_body(contract: Contract, path: str, method: str, body: Any) -> list[str]:
    """What is said of a body; nothing if it is fine."""
    try:
        contract.check_body(path, method, body)
    except ProblemError as problem:
        return list(problem.errors)
    return []


def errors_of_query(contract: Contract, path: str, **given: str) -> list[str]:
    """What is said of a query; nothing if it is fine."""
    try:
        contract.query(path, "GET", given)
    except ProblemError as problem:
        return list(problem.errors)
    return []


def test_the_shipped_contract_is_made_from_the_published_one() -> None:
    """By the script that says how: python docs/reduce_contract.py."""
    written = Path(rest_contract.__file__).with_name("openapi-v2.json")
    made = runpy.run_path(str(ROOT / "docs" / "reduce_contract.py"))["contract"]()
    assert made == written.read_text(encoding="utf-8")


def test_every_operation_of_the_contract_is_served(contract: Contract) -> None:
    """And none that is not in it."""
    paths = contract._document["paths"]
    assert {path: {method.upper() for method in item} for path, item in paths.items()} == {
        path: set(methods) for path, methods in OPERATIONS.items()
    }


def test_who_starts_the_emulator_does_not_wait_for_the_contract() -> None:
    """The validation library comes with the first request of REST."""
    code = "import sys, runpodctl_py.emulator.server; sys.exit('jsonschema' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.proves("rule: rest-unknown-properties")
@pytest.mark.parametrize(
    ("change", "errors"),
    [
        ({}, []),
        ({"templateId": "t", "image": "a"}, []),
        ({"name": ""}, ["$.name: minLength: got 0, want 1"]),
        ({"gpus": 1, "cpus": 1}, ["$: additional properties 'gpus', 'cpus' not allowed"]),
        ({"disk": "10"}, ["$.disk: got string, want integer"]),
        ({"registry": 1}, ["$.registry: got number, want string or null"]),
        ({"env": {"A": None}}, ["$.env.A: got null, want string"]),
        (
            {"flashboot": "ON"},
            ["$.flashboot: value must be one of 'OFF', 'FLASHBOOT', 'PRIORITY_FLASHBOOT'"],
        ),
        (
            {"workers": {"idleTimeout": 3601}},
            ["$.workers.idleTimeout: maximum: got 3601, want 3600"],
        ),
        ({"gpu": {"count": 1}}, ["$.gpu: missing property 'pools'"]),
        ({"gpu": {"pools": []}}, ["$.gpu.pools: minItems: got 0, want 1"]),
        (
            {"gpu": {"pools": ["ADA_24"], "minCudaVersion": "12"}},
            [r"$.gpu.minCudaVersion: '12' does not match pattern '^\d+\.\d+$'"],
        ),
        (
            {"scaling": {"type": "QUEUE_DELAY", "queueDelay": 0.4}},
            ["$.scaling.queueDelay: minimum: got 0.4, want 0.5"],
        ),
        (
            {"type": "LOAD_BALANCER"},
            [
                "$.scaling: missing property 'requestCount'",
                "$.scaling: additional properties 'queueDelay' not allowed",
                "$.scaling.type: value must be 'REQUEST_COUNT'",
            ],
        ),
    ],
)
def test_each_failure_has_its_words(
    contract: Contract, change: dict[str, Any], errors: list[str]
) -> None:
    """In the manner of the two lines that were observed of RunPod."""
    body = {**ENDPOINT, **change}
    assert errors_of_body(contract, "/v2/serverless", "POST", body) == errors


def test_a_broken_property_is_not_called_unknown(contract: Contract) -> None:
    """Only what the contract names nowhere is."""
    body = {"name": 1, "image": "a", "colour": "red"}
    assert errors_of_body(contract, "/v2/templates", "POST", body) == [
        "$.name: got number, want string",
        "$: additional properties 'colour' not allowed",
    ]


def test_what_is_not_valid_is_unprocessable(contract: Contract) -> None:
    """422 in RunPod's words, before anything else is looked at."""
    with pytest.raises(ProblemError, match=r"^Request validation failed\.$") as caught:
        contract.check_body("/v2/templates", "POST", [])
    assert caught.value.status is HTTPStatus.UNPROCESSABLE_ENTITY
    assert caught.value.errors == ("$: got array, want object",)


def test_patterns_mean_what_they_mean_in_go(contract: Contract) -> None:
    """The end is the end, and digits are those of ASCII."""
    for version in ("12.8\n", "١٢.٨"):
        body = {"name": "t", "image": "a", "allowedCudaVersions": [version]}
        assert len(errors_of_body(contract, "/v2/templates", "POST", body)) == 1


def test_parameters_get_their_types(contract: Contract) -> None:
    """Lists are separated by commas; what is left out has its default."""
    given = {"include": "AVAILABILITY", "product": "POD,SERVERLESS", "unknown": "1"}
    assert contract.query("/v2/catalog/gpus", "GET", given) == {
        "include": ["AVAILABILITY"],
        "product": ["POD", "SERVERLESS"],
        "count": 1,
    }
    centers = contract.query("/v2/catalog/datacenters", "GET", {"globalNetwork": "false"})
    assert centers == {"globalNetwork": False}


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ({"limit": "1000"}, []),
        ({"limit": "1001"}, ["limit: maximum: got 1001, want 1000"]),
        ({"lastN": "many"}, ["lastN: got string, want integer"]),
        ({"startTime": "2026-01-01T00:00:00Z"}, []),
        (
            {"startTime": "2026-01-01T00:00:00"},
            ["startTime: '2026-01-01T00:00:00' is not valid date-time"],
        ),
        ({"endTime": "now"}, ["endTime: 'now' is not valid date-time"]),
    ],
)
def test_parameters_are_checked(
    contract: Contract, given: dict[str, str], errors: list[str]
) -> None:
    """Each by its name."""
    assert errors_of_query(contract, "/v2/billing", **given) == errors


def test_times_go_out_as_they_came_in() -> None:
    """RFC 3339 in UTC, without parts of a second."""
    assert times.text(times.parse("2026-11-21T11:00:00.9+01:00")) == "2026-11-21T10:00:00Z"
