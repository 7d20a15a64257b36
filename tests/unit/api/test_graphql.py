"""GraphQL over whichever HTTP library gql bound: httpx2 where it is installed, else httpx."""

from __future__ import annotations

import importlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import gql.transport.httpx
import httpx
import pytest
import respx
from graphql import build_schema, parse, print_ast, validate

from runpodctl_py.api import graphql
from runpodctl_py.api.graphql import (
    GraphqlProvisioner,
    endpoint_input,
    parse_endpoint,
    parse_template,
    read_document,
    template_input,
)
from runpodctl_py.api.retrying import RetryPolicy
from runpodctl_py.api.types import Endpoint, Scaler, Template
from runpodctl_py.errors import (
    AnswerLostError,
    NetworkError,
    RateLimitedError,
    RefusedError,
    RunpodctlError,
    ServerError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

pytestmark = pytest.mark.anyio

# gql decides at its import; the mocker has to stand where it really sends from.
CORE_NAME = {"httpx2": "httpcore2", "httpx": "httpcore"}[gql.transport.httpx.httpx.__name__]
CORE = importlib.import_module(CORE_NAME)

BASE = "https://api.runpod.io"
URL = f"{BASE}/graphql"
KEY = "rpa_secretsecretsecret"
TRIES = 3
DOCUMENTS = sorted(
    path.name.removesuffix(".graphql")
    for path in (files("runpodctl_py.api") / "queries").iterdir()
    if path.name.endswith(".graphql")
)


@pytest.fixture
def runpod() -> Iterator[respx.Route]:
    """RunPod's GraphQL, with whatever answer a test gives it."""
    with respx.mock(using=CORE_NAME, assert_all_called=False) as router:
        yield router.post(URL)


@pytest.fixture
async def control() -> AsyncIterator[GraphqlProvisioner]:
    """A provisioner that tries three times."""
    async with GraphqlProvisioner(BASE, KEY, retries=RetryPolicy(attempts=TRIES)) as it:
        yield it


def template(**changes: Any) -> Template:
    """Make a template with every value at its smallest."""
    given: dict[str, Any] = {
        "template_id": None,
        "name": "t",
        "image": "img:1",
        "container_disk_gb": 5,
    }
    return Template(**given | changes)


def endpoint(**changes: Any) -> Endpoint:
    """Make an endpoint with every value at its smallest."""
    given: dict[str, Any] = {
        "endpoint_id": None,
        "name": "e",
        "template_id": "xkhgg72fuo",
        "gpu_ids": "AMPERE_16",
        "gpu_count": 1,
        "workers_min": 0,
        "workers_max": 0,
        "idle_timeout_s": 5,
        "execution_timeout_ms": 0,
        "scaler": Scaler.QUEUE_DELAY,
        "scaler_value": 4,
        "flashboot": "OFF",
    }
    return Endpoint(**given | changes)


CALLS: dict[str, Callable[[GraphqlProvisioner], Awaitable[object]]] = {
    "templates": lambda c: c.templates(),
    "endpoints": lambda c: c.endpoints(),
    "save_template": lambda c: c.save_template(template()),
    "save_endpoint": lambda c: c.save_endpoint(endpoint()),
    "delete_template": lambda c: c.delete_template("t"),
    "delete_endpoint": lambda c: c.delete_endpoint("vsrx8zdokf21gz"),
}
GOOD = {
    "templates": {"myself": {"podTemplates": []}},
    "endpoints": {"myself": {"endpoints": []}},
    "save_template": {"saveTemplate": {"id": "xkhgg72fuo", "name": "t"}},
    "save_endpoint": {"saveEndpoint": {"id": "vsrx8zdokf21gz", "name": "e"}},
    "delete_template": {"deleteTemplate": None},
    "delete_endpoint": {"deleteEndpoint": None},
}
QUERIES = ("templates", "endpoints")
MUTATIONS = ("save_template", "save_endpoint", "delete_template", "delete_endpoint")


async def error_of(control: GraphqlProvisioner, call: str) -> RunpodctlError:
    """Make a call that fails, and return how; the key is never in it."""
    with pytest.raises(RunpodctlError) as raised:
        await CALLS[call](control)
    error = raised.value
    assert KEY not in f"{error.message} {error.hint}"
    return error


def answer(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    """Make an answer with a JSON body."""
    return httpx.Response(status, json=body, headers=headers)


def refusal(message: str, status: int = 200, code: str = "RUNPOD") -> httpx.Response:
    """Make an error as RunPod's GraphQL words it (API reference 1.1)."""
    error = {"message": message, "path": ["op"], "extensions": {"code": code}}
    return answer({"errors": [error], "data": {"op": None}}, status)


def test_every_document_has_a_call() -> None:
    """So that the tests below leave none out."""
    assert sorted(CALLS) == DOCUMENTS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_fits_runpods_schema(name: str) -> None:
    """The schema was put together on its own, from what other clients send."""
    schema = (files("runpodctl_py.emulator.graphql") / "schema.graphql").read_text(encoding="utf-8")

    assert validate(build_schema(schema), parse(read_document(name))) == []


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_sends_its_document(
    runpod: respx.Route, control: GraphqlProvisioner, call: str
) -> None:
    """One request, with the key as a bearer token, and values as variables only."""
    runpod.mock(return_value=answer({"data": GOOD[call]}))

    await CALLS[call](control)

    request = runpod.calls.last.request
    body = json.loads(request.content)
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert body["query"] == print_ast(parse(read_document(call)))
    assert runpod.call_count == 1


async def test_values_are_variables_never_literals(
    runpod: respx.Route, control: GraphqlProvisioner
) -> None:
    """A quote in a value cannot break out of it (API reference 1.3)."""
    nasty = 'a"}) { id } } #\n\\'
    runpod.mock(return_value=answer({"data": GOOD["save_template"]}))

    await control.save_template(template(name=nasty, env={"K": nasty}))

    body = json.loads(runpod.calls.last.request.content)
    assert nasty not in body["query"]
    assert body["variables"]["input"]["name"] == nasty
    assert body["variables"]["input"]["env"] == [{"key": "K", "value": nasty}]


async def test_deletes_name_their_target(runpod: respx.Route, control: GraphqlProvisioner) -> None:
    """A template by its name, an endpoint by its id (API reference 1.3, 1.4)."""
    runpod.mock(return_value=answer({"data": {"op": None}}))

    await control.delete_template("my t")
    await control.delete_endpoint("vsrx8zdokf21gz")

    sent = [json.loads(call.request.content)["variables"] for call in runpod.calls]
    assert sent == [{"name": "my t"}, {"id": "vsrx8zdokf21gz"}]


async def test_saves_return_the_id(runpod: respx.Route, control: GraphqlProvisioner) -> None:
    """It is what `.env` and the next save need."""
    runpod.mock(
        side_effect=[
            answer({"data": GOOD["save_template"]}),
            answer({"data": GOOD["save_endpoint"]}),
        ]
    )

    saved = await control.save_template(template()), await control.save_endpoint(endpoint())

    assert saved == ("xkhgg72fuo", "vsrx8zdokf21gz")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("response", "kind", "message"),
    [
        (refusal("Unable to find template"), RefusedError, "RunPod says: Unable to find template"),
        (
            refusal("Field not provided.", 400, "GRAPHQL_VALIDATION_FAILED"),
            RefusedError,
            "RunPod says: Field not provided.",
        ),
        (
            answer({"errors": [{"message": "one"}, {"message": f"two {KEY}"}]}),
            RefusedError,
            "RunPod says: one; two …",
        ),
        (refusal("Unauthorized"), UnauthorizedError, f"{URL} does not accept the API key"),
        (refusal("no key", 401), UnauthorizedError, f"{URL} does not accept the API key"),
        (httpx.Response(401), UnauthorizedError, f"{URL} does not accept the API key"),
        (httpx.Response(403, text="no"), UnauthorizedError, f"{URL} does not accept the API key"),
        (httpx.Response(404, text="no"), ServerError, f"{URL} answered 404"),
        (httpx.Response(400, text="no"), ServerError, f"{URL} answered 400"),
        (
            httpx.Response(302, headers={"Location": "https://evil.example"}),
            ServerError,
            f"{URL} answered 302",
        ),
    ],
)
async def test_a_clear_no_is_taken_at_once(
    runpod: respx.Route,
    control: GraphqlProvisioner,
    *,
    call: str,
    response: httpx.Response,
    kind: type[RunpodctlError],
    message: str,
) -> None:
    """Business errors come with HTTP 200, validation errors with 400 (API reference 1.1)."""
    runpod.mock(return_value=response)

    error = await error_of(control, call)

    assert (type(error), error.message, runpod.call_count) == (kind, message, 1)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("trouble", "kind", "message"),
    [
        (httpx.Response(429), RateLimitedError, f"{URL} limits the rate of requests (429)"),
        (
            refusal("slow down", 429),
            RateLimitedError,
            f"{URL} limits the rate of requests (429)",
        ),
        (httpx.Response(503, text="<html>"), ServerError, f"{URL} answered 503"),
        (refusal("Service unavailable", 503), ServerError, f"{URL} answered 503"),
        (CORE.ConnectError("refused"), NetworkError, f"{URL} did not answer: refused"),
        (CORE.ConnectTimeout(), NetworkError, f"{URL} did not answer: ConnectTimeout"),
    ],
)
async def test_what_had_no_effect_is_tried_again(
    runpod: respx.Route,
    control: GraphqlProvisioner,
    *,
    call: str,
    trouble: Any,
    kind: type[RunpodctlError],
    message: str,
) -> None:
    """Mutations, too."""
    runpod.mock(side_effect=lambda _: _raise_or_return(trouble))

    error = await error_of(control, call)

    assert (type(error), error.message, runpod.call_count) == (kind, message, TRIES)


LOST: dict[str, Any] = {
    "500": httpx.Response(500, text="oops"),
    "500 with errors": refusal("Internal server error", 500),
    "502": httpx.Response(502, html="<h1>Bad gateway</h1>"),
    "read timeout": CORE.ReadTimeout(),
    "cut": CORE.RemoteProtocolError("Server disconnected"),
    "cut with the key": CORE.RemoteProtocolError(f"odd: {KEY}"),
    "no JSON": httpx.Response(200, text="<html>"),
    "no text": httpx.Response(200, content=b"\xff\xfe"),
    "no object": answer(["data"]),
    "a number": answer(5),
    "null": answer(None),
    "no envelope": answer({"ok": True}),
    "no data": answer({"data": None}),
    "odd errors": answer({"errors": "x", "data": None}),
    "too deep": httpx.Response(200, content=b'{"data":' * 100_000),
}


@pytest.mark.parametrize("call", QUERIES)
@pytest.mark.parametrize("trouble", LOST.values(), ids=LOST.keys())
async def test_a_lost_answer_to_a_query_is_asked_for_again(
    runpod: respx.Route, control: GraphqlProvisioner, call: str, trouble: Any
) -> None:
    """Reading twice changes nothing."""
    runpod.mock(side_effect=[trouble, answer({"data": GOOD[call]})])

    found = await CALLS[call](control)

    assert (found, runpod.call_count) == ([], 2)


@pytest.mark.parametrize("call", QUERIES)
@pytest.mark.parametrize("trouble", LOST.values(), ids=LOST.keys())
async def test_in_the_end_a_query_gives_up(
    runpod: respx.Route, control: GraphqlProvisioner, call: str, trouble: Any
) -> None:
    """With an error that counts as the network's (exit code 6)."""
    runpod.mock(side_effect=lambda _: _raise_or_return(trouble))

    error = await error_of(control, call)

    assert (error.exit_code, runpod.call_count) == (6, TRIES)
    assert not isinstance(error, AnswerLostError)


@pytest.mark.parametrize("call", MUTATIONS)
@pytest.mark.parametrize("trouble", LOST.values(), ids=LOST.keys())
async def test_a_lost_answer_to_a_mutation_is_final(
    runpod: respx.Route, control: GraphqlProvisioner, call: str, trouble: Any
) -> None:
    """It may have taken effect: it is sent once, and the error says so."""
    runpod.mock(side_effect=lambda _: _raise_or_return(trouble))

    error = await error_of(control, call)

    assert (type(error), runpod.call_count) == (AnswerLostError, 1)
    assert error.message.startswith("The request was sent, but ")


@pytest.mark.parametrize("call", ["save_template", "save_endpoint"])
@pytest.mark.parametrize("saved", [None, {}, {"id": None}, "id"])
async def test_a_save_without_an_id_is_a_lost_answer(
    runpod: respx.Route, control: GraphqlProvisioner, call: str, saved: Any
) -> None:
    """RunPod may have saved it."""
    runpod.mock(return_value=answer({"data": dict.fromkeys(GOOD[call], saved)}))

    assert isinstance(await error_of(control, call), AnswerLostError)


@pytest.mark.parametrize(
    "data",
    [
        {"myself": None},
        {},
        {"myself": {"endpoints": None}},
        {"myself": {"endpoints": [None]}},
        {"myself": {"endpoints": ["e"]}},
        {"myself": {"endpoints": [{"id": "no name"}]}},
        {"myself": {"endpoints": [{"id": "i", "name": "n", "networkVolumeIds": ["v"]}]}},
    ],
)
async def test_an_account_that_cannot_be_read_is_told(
    runpod: respx.Route, control: GraphqlProvisioner, data: Any
) -> None:
    """As the server's error, not as a defect of ours."""
    runpod.mock(return_value=answer({"data": data}))

    assert type(await error_of(control, "endpoints")) is ServerError


async def test_a_scaler_that_we_do_not_know_goes_back_as_it_came(
    runpod: respx.Route, control: GraphqlProvisioner
) -> None:
    """One new kind of endpoint must not make the whole account unreadable."""
    endpoint = {"id": "i", "name": "n", "scalerType": "BY_MOOD", "scalerValue": 2}
    runpod.mock(return_value=answer({"data": {"myself": {"endpoints": [endpoint]}}}))

    [found] = await control.endpoints()

    assert endpoint_input(found)["scalerType"] == "BY_MOOD"


def _raise_or_return(trouble: Any) -> httpx.Response:
    if isinstance(trouble, Exception):
        raise trouble
    return trouble


FULL_TEMPLATE = {
    "id": "xkhgg72fuo",
    "name": "t",
    "imageName": "img:1",
    "dockerArgs": "python -u h.py",
    "containerDiskInGb": 10,
    "volumeInGb": 20,
    "volumeMountPath": "/workspace",
    "ports": "8888/http",
    "env": [{"key": "A", "value": "b"}, {"key": "EMPTY", "value": None}],
    "isPublic": False,
    "isServerless": True,
    "boundEndpointId": "vsrx8zdokf21gz",
    "readme": "# Read me",
    "startSsh": True,
    "startJupyter": False,
    "startScript": "",
    "advancedStart": None,
    "category": "NVIDIA",
    "containerRegistryAuthId": "reg",
}
FULL_ENDPOINT = {
    "id": "vsrx8zdokf21gz",
    "name": "e",
    "templateId": "xkhgg72fuo",
    "gpuIds": "AMPERE_48,-NVIDIA A40",
    "gpuCount": 2,
    "workersMin": 1,
    "workersMax": 3,
    "workersPFBTarget": 0,
    "idleTimeout": 42,
    "executionTimeoutMs": 600_000,
    "scalerType": "REQUEST_COUNT",
    "scalerValue": 9,
    "flashBootType": "PRIORITY_FLASHBOOT",
    "networkVolumeId": "vol1",
    "networkVolumeIds": [{"networkVolumeId": "vol1"}, {"networkVolumeId": "vol2"}],
    "locations": "EU-RO-1",
    "allowedCudaVersions": "12.8",
    "minCudaVersion": None,
    "instanceIds": [],
    "compliance": ["GDPR"],
    "modelReferences": ["m"],
    "type": "QB",
}


def test_a_template_goes_back_as_it_came() -> None:
    """`saveTemplate` resets what it is not sent; empty and bound fields aside."""
    expected = {
        **FULL_TEMPLATE,
        "env": [{"key": "A", "value": "b"}, {"key": "EMPTY", "value": ""}],
    }
    for name in ("boundEndpointId", "startScript", "advancedStart"):
        del expected[name]

    assert template_input(parse_template(FULL_TEMPLATE)) == expected


def test_an_endpoint_goes_back_as_it_came() -> None:
    """`saveEndpoint` resets what it is not sent (API reference 1.4); zeros are values."""
    expected = dict(FULL_ENDPOINT)
    for name in ("minCudaVersion", "instanceIds"):
        del expected[name]

    assert endpoint_input(parse_endpoint(FULL_ENDPOINT)) == expected


def test_volumes_that_only_the_list_names_are_kept() -> None:
    """The first of them is the endpoint's volume."""
    found = parse_endpoint({**FULL_ENDPOINT, "networkVolumeId": None})

    assert found.network_volume_id == "vol1"
    assert endpoint_input(found)["networkVolumeIds"] == FULL_ENDPOINT["networkVolumeIds"]


def test_another_volume_replaces_the_list() -> None:
    """The old volumes beside the new one would contradict it."""
    found = parse_endpoint(FULL_ENDPOINT)

    sent = endpoint_input(endpoint(network_volume_id="vol3", kept=found.kept))

    assert (sent["networkVolumeId"], "networkVolumeIds" in sent) == ("vol3", False)


def test_a_new_endpoint_has_no_id_and_all_its_zeros() -> None:
    """Otherwise RunPod would take 3 workers for none, and 10 s for no limit."""
    sent = endpoint_input(endpoint())

    assert "id" not in sent
    assert (sent["workersMin"], sent["workersMax"], sent["executionTimeoutMs"]) == (0, 0, 0)


def test_a_bare_template_is_valid() -> None:
    """What RunPod demands (API reference 1.3) is there, if only as an empty value."""
    sent = template_input(template())

    assert (sent["dockerArgs"], sent["volumeInGb"], sent["env"]) == ("", 0, [])


def test_what_runpod_leaves_out_is_empty() -> None:
    """Old endpoints and templates have nulls."""
    assert parse_template({"id": "i", "name": "n"}) == template(
        template_id="i", name="n", image="", container_disk_gb=0, is_serverless=False
    )
    assert parse_endpoint({"id": "i", "name": "n"}) == endpoint(
        endpoint_id="i", name="n", template_id="", gpu_ids="", idle_timeout_s=0, scaler_value=0
    )


@pytest.mark.parametrize("seconds", ["7", "0"])
async def test_retry_after_is_read(seconds: str) -> None:
    """The server's word reaches the retry loop."""
    with pytest.raises(graphql._BadStatusError) as raised:
        await graphql._check_status(httpx.Response(429, headers={"Retry-After": seconds}))

    assert raised.value.wait_s == float(seconds)


async def test_it_is_used_as_a_context() -> None:
    """A request without a session is a defect of the caller's."""
    with pytest.raises(RuntimeError, match="async context"):
        await GraphqlProvisioner(BASE, KEY).templates()


async def test_after_its_context_it_cannot_be_used() -> None:
    """The error is one of ours, not gql's."""
    async with GraphqlProvisioner(BASE, KEY) as control:
        pass

    with pytest.raises(NetworkError, match="cannot be used"):
        await control.templates()
