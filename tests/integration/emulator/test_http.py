"""Status codes, envelopes and refusals, as clients see them over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Client


@pytest.fixture(scope="module")
def asleep(client: Client) -> Iterator[str]:
    """An endpoint that has no workers and gets none."""
    endpoint_id = client.endpoint("puppet", workersMax=0)
    yield endpoint_id
    client.delete(endpoint_id)


@pytest.fixture
def stranger(client: Client) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=client.server.url) as stranger:
        yield stranger


def graphql(client: Client, query: str) -> tuple[int, Any]:
    """Returns status and body of a GraphQL request."""
    answer = client.http.post("/graphql", json={"query": query})
    return answer.status_code, answer.json()


@pytest.mark.proves("rule: graphql-business-errors")
def test_a_business_error_is_answered_with_200(client: Client) -> None:
    """With the operation's path, RunPod's code, and null for its data."""
    status, body = graphql(client, 'mutation { deleteTemplate(templateName: "nobody") }')
    assert status == 200
    assert body == {
        "errors": [
            {
                "message": "Unable to find template",
                "path": ["deleteTemplate"],
                "extensions": {"code": "RUNPOD"},
            }
        ],
        "data": {"deleteTemplate": None},
    }


@pytest.mark.proves("rule: graphql-validation-errors", "rule: introspection-off")
@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("{ myself { nothing } }", "GRAPHQL_VALIDATION_FAILED", 'Cannot query field "nothing"'),
        (
            'mutation { saveTemplate(input: {name: "t", dockerStartCmd: "x"}) { id } }',
            "GRAPHQL_VALIDATION_FAILED",
            "dockerStartCmd",
        ),
        ("{ __schema { types { name } } }", "INTROSPECTION_DISABLED", "introspection"),
        ("{ myself {", "GRAPHQL_PARSE_FAILED", "Syntax Error"),
    ],
)
def test_an_invalid_document_is_answered_with_400(
    client: Client, query: str, code: str, words: str
) -> None:
    """Nothing of it is carried out."""
    status, body = graphql(client, query)
    assert (status, body["errors"][0]["extensions"]["code"]) == (400, code)
    assert words in str(body["errors"])


@pytest.mark.proves("rule: graphql-literals-and-variables", "graphql: Query.podTemplate")
def test_variables_and_operation_names_work(client: Client) -> None:
    """And a variable of the wrong type is the client's mistake."""
    query = "query A { myself { id } } query B($id: String!) { podTemplate(id: $id) { id } }"
    body = {"query": query, "operationName": "B", "variables": {"id": "x"}}
    assert client.http.post("/graphql", json=body).json() == {"data": {"podTemplate": None}}
    answer = client.http.post("/graphql", json={**body, "variables": {"id": 1}})
    assert answer.status_code == 400


@pytest.mark.proves("rule: graphql-keys")
def test_the_key_may_come_in_three_ways(client: Client, stranger: httpx.Client) -> None:
    """As a bearer token, bare, or in the query; otherwise the answer is 401."""
    query, token = {"query": "{ myself { id } }"}, client.server.token
    for headers, params in (
        ({"Authorization": f"Bearer {token}"}, {}),
        ({"Authorization": token}, {}),
        ({}, {"api_key": token}),
    ):
        answer = stranger.post("/graphql", json=query, headers=headers, params=params)
        assert answer.json() == {"data": {"myself": {"id": "user_local"}}}
    refused = stranger.post("/graphql", json=query, headers={"Authorization": "Bearer rpa_x"})
    assert (refused.status_code, refused.json()["errors"][0]["message"]) == (401, "Unauthorized")


@pytest.mark.proves(
    "rule: endpoint-single-changes",
    "rule: endpoint-empty-is-unset",
    "graphql: Mutation.updateEndpointWorkersMin",
    "graphql: Mutation.updateEndpointWorkersMax",
    "graphql: Mutation.updateEndpointTemplate",
    "graphql: Mutation.deleteEndpoint",
    "graphql: Endpoint",
)
def test_an_endpoint_is_changed_and_read_back(client: Client) -> None:
    """Single changes leave the other fields alone; empty strings mean unset."""
    endpoint_id = client.endpoint("puppet", workersMax=0, idleTimeout=42, locations="")
    for operation, count in (("updateEndpointWorkersMax", 2), ("updateEndpointWorkersMin", 0)):
        client.graphql(
            f"mutation ($i: UpdateEndpointWorkersInput!) {{ {operation}(input: $i) {{ id }} }}",
            i={"endpointId": endpoint_id, "workerCount": count},
        )
    read = """query ($id: String!) { myself { endpoint(id: $id) { id name aiKey gpuIds gpuCount
        idleTimeout locations networkVolumeId networkVolumeIds { networkVolumeId } scalerType
        scalerValue template { id env { key value } imageName isRunpod } templateId type userId
        version workersMin workersMax workersStandby workersPFBTarget executionTimeoutMs
        flashBootType computeType env { key value } createdAt networkVolume { id } } } }"""
    endpoint = client.graphql(read, id=endpoint_id)["myself"]["endpoint"]
    assert (endpoint["workersMax"], endpoint["idleTimeout"]) == (2, 42)
    assert (endpoint["locations"], endpoint["scalerType"]) == (None, "QUEUE_DELAY")
    assert (endpoint["type"], endpoint["flashBootType"], endpoint["version"]) == ("QB", "OFF", 0)
    assert endpoint["template"]["id"] == endpoint["templateId"]
    other = client.endpoint("puppet", workersMax=0)
    template_id = client.graphql(read, id=other)["myself"]["endpoint"]["templateId"]
    changed = client.graphql(
        "mutation ($i: UpdateEndpointTemplateInput!) {"
        " updateEndpointTemplate(input: $i) { id templateId version } }",
        i={"endpointId": endpoint_id, "templateId": template_id},
    )["updateEndpointTemplate"]
    assert changed == {"id": endpoint_id, "templateId": template_id, "version": 1}
    client.delete(endpoint_id)
    client.delete(other)
    assert client.graphql(read, id=endpoint_id)["myself"]["endpoint"] is None


@pytest.mark.proves("graphql: Query.serverlessGpuPools", "graphql: ServerlessGpuPool")
def test_pools_are_those_of_the_table(client: Client) -> None:
    """Each with its cards."""
    pools = client.graphql("{ serverlessGpuPools { id gpuTypeIds } }")["serverlessGpuPools"]
    assert {"id": "ADA_24", "gpuTypeIds": ["NVIDIA GeForce RTX 4090"]} in pools


@pytest.mark.proves("rule: graphql-public-fields")
def test_gpu_types_need_no_key(stranger: httpx.Client) -> None:
    """But what is asked along with them does."""
    query = '{ gpuTypes(input: {id: "NVIDIA L4"}) { id memoryInGb } }'
    answer = stranger.post("/graphql", json={"query": query})
    assert answer.json() == {"data": {"gpuTypes": [{"id": "NVIDIA L4", "memoryInGb": 24}]}}
    both = "{ gpuTypes { id } myself { id } }"
    assert stranger.post("/graphql", json={"query": both}).status_code == 401


@pytest.mark.proves("rule: job-keys")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "run"),
        ("POST", "runsync"),
        ("GET", "status/x"),
        ("POST", "cancel/x"),
        ("GET", "health"),
    ],
)
def test_the_job_api_needs_the_key(
    stranger: httpx.Client, asleep: str, method: str, path: str
) -> None:
    """Each operation of it."""
    answer = stranger.request(method, f"/v2/{asleep}/{path}")
    assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})


@pytest.mark.proves("rule: http-statuses")
def test_unknown_endpoints_and_jobs_are_not_found(client: Client, asleep: str) -> None:
    """Both with a sentence."""
    for path, words in (
        ("/v2/nowhere0000000/status/x", "endpoint nowhere0000000 not found"),
        (f"/v2/{asleep}/status/x-u1", "job x-u1 not found"),
        (f"/v2/{asleep}/nothing", "not found"),
    ):
        answer = client.http.get(path)
        assert (answer.status_code, answer.json()) == (404, {"error": words})


@pytest.mark.proves("rule: http-statuses", "rule: policy-limits")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", 'no "input"'),
        (b'{"input": 1, "policy": []}', "policy is not an object"),
        (b'{"input": 1, "policy": {"ttl": 9999}}', "policy.ttl must be between"),
        (b'{"input": 1, "policy": {"ttl": true}}', "policy.ttl must be between"),
        (b'{"input": 1, "policy": {"executionTimeout": 10}}', "policy.executionTimeout"),
        (b'{"input": 1, "policy": {"lowPriority": 1}}', "policy.lowPriority"),
    ],
)
def test_unusable_bodies_are_refused(client: Client, asleep: str, body: bytes, words: str) -> None:
    """With 400, and no job is made."""
    answer = client.http.post(f"/v2/{asleep}/run", content=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert client.health(asleep)["jobs"]["inQueue"] == 0


@pytest.mark.proves("rule: payload-limits")
@pytest.mark.parametrize(("path", "limit_mib"), [("run", 10), ("runsync", 20)])
def test_bodies_have_a_limit(client: Client, asleep: str, path: str, limit_mib: int) -> None:
    """One byte too many is refused with 413."""
    frame = len(b'{"input":""}')
    body = b'{"input":"' + b"x" * (limit_mib * 1024 * 1024 - frame + 1) + b'"}'
    assert client.http.post(f"/v2/{asleep}/{path}", content=body).status_code == 413
    fitting = client.http.post(f"/v2/{asleep}/{path}?wait=1000", content=body[:-3] + b'"}')
    assert fitting.json()["status"] == "IN_QUEUE"
    client.http.post(f"/v2/{asleep}/cancel/{fitting.json()['id']}")


@pytest.mark.proves("rule: job-post-status", "job-api: status")
def test_status_may_be_asked_with_post(client: Client, asleep: str) -> None:
    """RunPod's Go client does."""
    job_id = client.run(asleep, 1)
    expected = {"id": job_id, "status": "IN_QUEUE"}
    assert client.http.post(f"/v2/{asleep}/status/{job_id}").json() == expected
    assert client.http.post(f"/v2/{asleep}/status-sync/{job_id}?wait=1000").json() == expected
    assert client.http.post(f"/v2/{asleep}/cancel/{job_id}").json()["status"] == "CANCELLED"


@pytest.mark.proves("rule: health-counters", "job-api: health")
def test_health_always_has_eleven_counters(client: Client, asleep: str) -> None:
    """All of them integers."""
    health = client.health(asleep)
    assert {kind: sorted(counters) for kind, counters in health.items()} == {
        "jobs": ["completed", "failed", "inProgress", "inQueue", "retried"],
        "workers": ["idle", "initializing", "ready", "running", "throttled", "unhealthy"],
    }


def test_the_local_status_tells_of_endpoints(client: Client, asleep: str) -> None:
    """For the command line: names, images and counters."""
    status = client.http.get("/_local/status").json()
    (endpoint,) = [each for each in status["endpoints"] if each["id"] == asleep]
    assert (endpoint["name"], endpoint["image"]) == ("puppet", "puppet")
    assert (endpoint["workers"], endpoint["jobs"]["inProgress"]) == ({}, 0)
    assert {"version", "startedAt", "uptimeSeconds"} <= status.keys()


@pytest.mark.proves("graphql: Mutation.deleteTemplate")
def test_a_template_is_deleted_by_its_name(client: Client) -> None:
    """It is null in the answer, and gone; while an endpoint uses it, it stays."""
    endpoint_id = client.endpoint("puppet", workersMax=0)
    listed = client.graphql("{ myself { endpoints { id template { name } } } }")["myself"]
    (name,) = (e["template"]["name"] for e in listed["endpoints"] if e["id"] == endpoint_id)
    delete = f'mutation {{ deleteTemplate(templateName: "{name}") }}'
    assert "in use" in graphql(client, delete)[1]["errors"][0]["message"]
    client.delete(endpoint_id)
    assert graphql(client, delete) == (200, {"data": {"deleteTemplate": None}})
    names = {each["name"] for each in client.graphql("{ podTemplates { name } }")["podTemplates"]}
    assert name not in names
