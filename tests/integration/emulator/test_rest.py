"""REST v2 by HTTP; every answer is held against RunPod's published contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.integration.emulator.contract import Rest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.emulator.conftest import Client

QUEUE_DELAY = {"type": "QUEUE_DELAY", "queueDelay": 4}
REQUEST_COUNT = {"type": "REQUEST_COUNT", "requestCount": 2}
GPU = {"pools": ["AMPERE_16"]}


@pytest.fixture
def rest(client: Client) -> Iterator[Rest]:
    """REST v2 of the module's local RunPod, which has no endpoint at the end."""
    rest = Rest(client.http)
    yield rest
    for each in rest.get("/v2/serverless")["endpoints"]:
        rest.delete(f"/v2/serverless/{each['id']}")
    for kind, name in (
        ("templates", "templates"),
        ("registries", "registries"),
        ("network-volumes", "networkVolumes"),
    ):
        for each in rest.get(f"/v2/{kind}")[name]:
            rest.delete(f"/v2/{kind}/{each['id']}")


def endpoint(**fields: Any) -> dict[str, Any]:
    """The body of a small endpoint."""
    body = {"name": "e", "image": "plain", "type": "QUEUE", "gpu": GPU, "scaling": QUEUE_DELAY}
    return {**body, "workers": {"max": 1}, **fields}


def detail(refusal: tuple[int, Any]) -> tuple[int, str]:
    """What a refusal says in one sentence."""
    return refusal[0], refusal[1]["detail"]


class TestEveryAnswer:
    """Keys, limits, problems: what all operations have in common."""

    @pytest.mark.proves("rule: rest-problems")
    def test_the_key_comes_as_a_bearer_token_only(self, client: Client) -> None:
        """A bare key, a query parameter or none is a 401, though the job API takes them (3.2)."""
        token = client.server.token
        with httpx.Client(base_url=client.server.url) as http:
            rest = Rest(http)
            refusals = [
                rest.refused("GET", "/v2/templates"),
                rest.refused("GET", f"/v2/templates?api_key={token}"),
                rest.refused("GET", "/v2/templates", headers={"Authorization": token}),
                rest.refused("GET", "/v2/templates", headers={"Authorization": "Bearer wrong"}),
            ]
        problem = {"title": "Unauthorized", "status": 401, "detail": "missing bearer token"}
        assert refusals == [(401, problem)] * 4

    @pytest.mark.proves("rule: rest-rate-limits")
    def test_requests_are_counted(self, rest: Rest) -> None:
        """Each answer says what is left of the minute, the hour and the day (3.3)."""
        first, second = (rest.ask("GET", "/v2/registries").headers for _ in range(2))

        def left(headers: httpx.Headers) -> list[int]:
            return [
                int(each.partition("r=")[2].partition(";")[0])
                for each in headers["ratelimit"].split(", ")
            ]

        # The minute may be used up by now; it is only counted.
        assert left(second)[1:] == [each - 1 for each in left(first)[1:]]
        policy = '"minute";q=60;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400'
        assert second["ratelimit-policy"] == policy
        assert first["x-request-id"] != second["x-request-id"]

    @pytest.mark.proves("rule: rest-unknown-properties", "rule: rest-problems")
    def test_a_wrong_body_is_refused_in_the_words_that_were_observed(self, rest: Rest) -> None:
        """All failures of a validation are told at once (3.3)."""
        body = {"name": "v", "size": 10, "dataCenterId": "EU-RO-1"}
        problem = {
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "Request validation failed.",
            "errors": [
                "$: missing property 'dataCenter'",
                "$: additional properties 'dataCenterId' not allowed",
            ],
        }
        assert rest.refused("POST", "/v2/network-volumes", body) == (422, problem)

    @pytest.mark.proves("rule: rest-body-limit")
    def test_what_is_no_json_or_too_large_is_refused(self, rest: Rest) -> None:
        """400 and 413, before anything is validated."""
        broken = rest.refused("POST", "/v2/templates", content="{")
        large = rest.refused("POST", "/v2/templates", content=b"[" + b" " * 102_400)
        assert (broken[0], large[0]) == (400, 413)

    @pytest.mark.proves("rule: rest-problems")
    def test_a_wrong_method_is_told_the_right_ones(self, rest: Rest) -> None:
        """405 with Allow, also where the job API has an operation of the same shape."""
        answer = rest.ask("POST", "/v2/serverless/run", {"input": {}})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, PATCH, DELETE")

    @pytest.mark.proves("rule: rest-problems")
    @pytest.mark.parametrize(
        "path", ["/v2/serverless/unknown", "/v2/templates/unknown", "/v2/billing/nothing"]
    )
    def test_what_does_not_exist_is_not_found(self, rest: Rest, path: str) -> None:
        """404 as a problem, for resources and for paths."""
        problem = {"title": "Not Found", "status": 404, "detail": "resource not found"}
        assert rest.refused("GET", path) == (404, problem)

    @pytest.mark.parametrize(
        "path", ["/v2/pods", "/v2/pods/x", "/v2/clusters", "/v2/registries/delegations"]
    )
    def test_what_is_not_emulated_says_so(self, rest: Rest, path: str) -> None:
        """Better a loud 501 than a fake."""
        assert detail(rest.refused("GET", path)) == (501, f"not emulated: {path}")


class TestTemplates:
    """/v2/templates."""

    @pytest.mark.proves("rest: POST /v2/templates", "rest: GET /v2/templates/{id}")
    def test_the_official_clients_body_makes_a_template(self, rest: Rest) -> None:
        """What RunPod's unreleased Python client sends; the defaults are the contract's."""
        made = rest.post(
            "/v2/templates",
            {
                "name": "t",
                "image": "plain",
                "disk": 10,
                "serverless": True,
                "args": "python -u handler.py",
                "ports": ["8000/http"],
                "env": {"A": "b"},
            },
        )
        assert made == {
            "id": made["id"],
            "name": "t",
            "image": "plain",
            "args": "python -u handler.py",
            "disk": 10,
            "env": {"A": "b"},
            "ports": ["8000/http"],
            "registry": None,
            "mounts": {},
            "serverless": True,
            "public": False,
            "category": "NVIDIA",
            "startSsh": True,
            "startJupyter": True,
            "allowedCudaVersions": [],
        }
        assert rest.get(f"/v2/templates/{made['id']}") == made

    @pytest.mark.proves("rest: PATCH /v2/templates/{id}")
    def test_a_change_leaves_the_rest_alone(self, rest: Rest) -> None:
        """Unlike GraphQL's saveTemplate."""
        mount = {"persistent": {"size": 20, "path": "/data"}}
        made = rest.post(
            "/v2/templates",
            {"name": "t", "image": "a", "mounts": mount, "allowedCudaVersions": ["12.8"]},
        )
        changed = rest.patch(f"/v2/templates/{made['id']}", {"image": "b", "mounts": {}})
        assert changed == {**made, "image": "b"}

    @pytest.mark.proves("rule: rest-same-resources", "rest: GET /v2/templates")
    def test_graphql_shows_the_same_templates(self, rest: Rest, client: Client) -> None:
        """One account, two ways to look at it."""
        made = rest.post("/v2/templates", {"name": "t", "image": "plain", "serverless": True})
        seen = client.graphql("{ myself { podTemplates { id name imageName } } }")
        ours = {"id": made["id"], "name": "t", "imageName": "plain"}
        assert ours in seen["myself"]["podTemplates"]
        assert made in rest.get("/v2/templates")["templates"]

    def test_a_template_of_graphql_is_shown_whatever_it_has(
        self, rest: Rest, client: Client
    ) -> None:
        """Also where the contract of REST could not have made it."""
        saved = client.graphql(
            'mutation { saveTemplate(input: {name: "t", imageName: "a", dockerArgs: "",'
            " containerDiskInGb: 0, volumeInGb: 20, env: []}) { id } }"
        )
        shown = rest.get(f"/v2/templates/{saved['saveTemplate']['id']}")
        assert shown["disk"] == 1
        assert shown["mounts"] == {"persistent": {"size": 20, "path": "/workspace"}}
        assert shown["category"] == "NVIDIA"

    @pytest.mark.proves("rule: rest-template-in-use", "rest: DELETE /v2/templates/{id}")
    def test_deleting_is_for_ever_and_waits_for_users(self, rest: Rest, client: Client) -> None:
        """400 while an endpoint uses it, then 204, then 404."""
        endpoint_id = client.endpoint("plain", workersMax=0)
        query = "query ($id: String!) { myself { endpoint(id: $id) { templateId } } }"
        found = client.graphql(query, id=endpoint_id)["myself"]["endpoint"]
        path = f"/v2/templates/{found['templateId']}"
        assert rest.refused("DELETE", path)[0] == 400
        rest.delete(f"/v2/serverless/{endpoint_id}")
        rest.delete(path)
        assert rest.refused("GET", path)[0] == 404

    @pytest.mark.proves("rule: template-names-unique")
    def test_a_name_that_is_taken_is_refused(self, rest: Rest) -> None:
        """By the same rule as in GraphQL."""
        rest.post("/v2/templates", {"name": "t", "image": "a"})
        refusal = rest.refused("POST", "/v2/templates", {"name": "t", "image": "a"})
        assert detail(refusal) == (400, "Template name must be unique: t")

    @pytest.mark.proves("rule: rest-pagination")
    def test_lists_come_in_pages(self, rest: Rest) -> None:
        """The cursor of one page leads to the next, until there is none (3.3)."""
        ids = [rest.post("/v2/templates", {"name": f"t{n}", "image": "a"})["id"] for n in range(3)]
        first = rest.get("/v2/templates", limit=2)
        second = rest.get("/v2/templates", limit=2, cursor=first["pagination"]["nextCursor"])
        assert first["pagination"]["hasNextPage"] is True
        assert second["pagination"] == {"nextCursor": None, "hasNextPage": False}
        assert [each["id"] for each in first["templates"] + second["templates"]] == ids
        assert rest.refused("GET", "/v2/templates?cursor=x")[0] == 422


class TestEndpoints:
    """/v2/serverless."""

    @pytest.mark.proves("rest: POST /v2/serverless", "rest: GET /v2/serverless/{id}")
    def test_the_official_clients_body_makes_an_endpoint(self, rest: Rest, client: Client) -> None:
        """What RunPod's unreleased Python client sends (3.2)."""
        template = rest.post(
            "/v2/templates",
            {"name": "t", "image": "plain", "disk": 10, "serverless": True, "env": {"A": "b"}},
        )
        made = rest.post(
            "/v2/serverless",
            {
                "name": "my e",
                "templateId": template["id"],
                "type": "QUEUE",
                "gpu": {"pools": ["AMPERE_48"], "count": 1, "excludedTypes": ["NVIDIA A40"]},
                "workers": {"min": 0, "max": 3, "idleTimeout": 5},
                "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
                "flashboot": "OFF",
            },
        )
        url = f"{client.server.url}/v2/{made['id']}"
        assert made == {
            "id": made["id"],
            "name": "my e",
            "type": "QUEUE",
            "requestUrls": {
                "run": f"{url}/run",
                "runSync": f"{url}/runsync",
                "status": f"{url}/status/{{job_id}}",
                "stream": f"{url}/stream/{{job_id}}",
                "cancel": f"{url}/cancel/{{job_id}}",
                "retry": f"{url}/retry/{{job_id}}",
                "purgeQueue": f"{url}/purge-queue",
                "health": f"{url}/health",
            },
            "image": "plain",
            "args": "",
            "disk": 10,
            "env": {"A": "b"},
            "ports": [],
            "registry": None,
            "gpu": {
                "pools": ["AMPERE_48"],
                "excludedTypes": ["NVIDIA A40"],
                "count": 1,
                "allowedCudaVersions": [],
                "minCudaVersion": None,
            },
            "workers": {"min": 0, "max": 3, "idleTimeout": 5},
            "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
            "dataCenterIds": [],
            "networkVolumes": [],
            "timeout": 0,
            "flashboot": "OFF",
            "createdAt": made["createdAt"],
        }
        assert rest.get(f"/v2/serverless/{made['id']}") == made

    @pytest.mark.proves("rule: rest-same-resources", "rest: GET /v2/serverless")
    def test_graphql_shows_the_same_endpoint(self, rest: Rest, client: Client) -> None:
        """With the choice of cards in its own syntax."""
        gpu = {"pools": ["ADA_24", "AMPERE_48"], "excludedTypes": [" NVIDIA A40"], "count": 2}
        made = rest.post("/v2/serverless", endpoint(gpu=gpu, dataCenterIds=["EU-RO-1", "EU-SE-1"]))
        seen = client.graphql(
            "query ($id: String!) { myself { endpoint(id: $id)"
            " { gpuIds gpuCount locations scalerType scalerValue workersMax } } }",
            id=made["id"],
        )
        assert seen["myself"]["endpoint"] == {
            "gpuIds": "ADA_24,AMPERE_48,-NVIDIA A40",
            "gpuCount": 2,
            "locations": "EU-RO-1,EU-SE-1",
            "scalerType": "QUEUE_DELAY",
            "scalerValue": 4,
            "workersMax": 1,
        }
        assert rest.get("/v2/serverless")["endpoints"] == [made]

    def test_a_template_is_only_where_the_settings_come_from(self, rest: Rest) -> None:
        """The body wins, variables are merged, later changes of the template do not matter."""
        template = rest.post(
            "/v2/templates",
            {
                "name": "t",
                "image": "plain",
                "args": "old",
                "serverless": True,
                "env": {"A": "1", "B": "1"},
                "allowedCudaVersions": ["12.8"],
            },
        )
        body = endpoint(templateId=template["id"], args="new", env={"B": "2"})
        del body["image"]
        made = rest.post("/v2/serverless", body)
        assert (made["image"], made["args"], made["env"]) == ("plain", "new", {"A": "1", "B": "2"})
        assert made["gpu"]["allowedCudaVersions"] == ["12.8"]
        rest.patch(f"/v2/templates/{template['id']}", {"image": "other"})
        assert rest.get(f"/v2/serverless/{made['id']}") == made

    @pytest.mark.proves("rest: PATCH /v2/serverless/{id}")
    def test_a_change_leaves_the_rest_alone(self, rest: Rest) -> None:
        """Unlike GraphQL's saveEndpoint, which resets nearly everything (1.4)."""
        workers = {"min": 0, "max": 2, "idleTimeout": 42}
        made = rest.post("/v2/serverless", endpoint(workers=workers, timeout=60_000))
        path = f"/v2/serverless/{made['id']}"
        changed = rest.patch(path, {"env": {"A": "b"}, "workers": {"max": 1}})
        assert changed == {**made, "env": {"A": "b"}, "workers": {**workers, "max": 1}}
        assert rest.patch(path, {}) == changed

    def test_a_change_of_a_shared_template_stays_with_the_endpoint(
        self, rest: Rest, client: Client
    ) -> None:
        """An endpoint made with GraphQL gets a template of its own when its container changes."""
        endpoint_id = client.endpoint("plain", workersMax=0)
        [before] = rest.get("/v2/templates")["templates"]
        changed = rest.patch(f"/v2/serverless/{endpoint_id}", {"image": "other"})
        assert changed["image"] == "other"
        assert rest.get("/v2/templates")["templates"] == [before]

    def test_pools_replace_the_whole_selection(self, rest: Rest) -> None:
        """Exclusions go with the pools they were for; without pools they stay."""
        gpu = {"pools": ["AMPERE_48"], "excludedTypes": ["NVIDIA A40"]}
        path = f"/v2/serverless/{rest.post('/v2/serverless', endpoint(gpu=gpu))['id']}"
        kept = rest.patch(path, {"gpu": {"minCudaVersion": "12.4"}})["gpu"]
        assert (kept["excludedTypes"], kept["minCudaVersion"]) == (["NVIDIA A40"], "12.4")
        replaced = rest.patch(path, {"gpu": {"pools": ["AMPERE_48"], "minCudaVersion": ""}})["gpu"]
        assert ("excludedTypes" in replaced, replaced["minCudaVersion"]) == (False, None)

    @pytest.mark.proves("rule: rest-delete-endpoint", "rest: DELETE /v2/serverless/{id}")
    def test_deleting_takes_the_template_and_the_jobs_along(
        self, rest: Rest, client: Client
    ) -> None:
        """Workers need not be 0 first (3.2)."""
        made = rest.post("/v2/serverless", endpoint(workers={"max": 0}))
        job_id = client.run(made["id"], 1)
        query = "query ($id: String!) { myself { endpoint(id: $id) { templateId } } }"
        template_id = client.graphql(query, id=made["id"])["myself"]["endpoint"]["templateId"]
        rest.delete(f"/v2/serverless/{made['id']}")
        assert rest.refused("GET", f"/v2/templates/{template_id}")[0] == 404
        assert client.http.get(f"/v2/{made['id']}/status/{job_id}").status_code == 404

    def test_cpu_workers_have_the_memory_of_their_flavor(self, rest: Rest) -> None:
        """Named by flavor and vCPUs; the compute family is fixed."""
        body = endpoint(cpu=[{"id": "cpu3g", "vcpuCount": 4}])
        del body["gpu"]
        made = rest.post("/v2/serverless", body)
        assert made["cpu"] == [{"id": "cpu3g", "vcpuCount": 4, "memory": 16}]
        assert "gpu" not in made
        path = f"/v2/serverless/{made['id']}"
        assert rest.refused("PATCH", path, {"gpu": GPU})[0] == 400
        changed = rest.patch(path, {"cpu": [{"id": "cpu5c", "vcpuCount": 8}]})
        assert changed["cpu"] == [{"id": "cpu5c", "vcpuCount": 8, "memory": 16}]

    @pytest.mark.proves("rule: rest-scaling")
    def test_load_balancers_scale_on_requests(self, rest: Rest) -> None:
        """They have an idle timeout, but no queue to send requests to."""
        made = rest.post("/v2/serverless", endpoint(type="LOAD_BALANCER", scaling=REQUEST_COUNT))
        assert (made["scaling"], made["workers"]["idleTimeout"]) == (REQUEST_COUNT, 10)
        assert "requestUrls" not in made
        path = f"/v2/serverless/{made['id']}"
        assert rest.refused("PATCH", path, {"scaling": QUEUE_DELAY})[0] == 400

    @pytest.mark.proves("rule: rest-scaling")
    def test_a_queue_that_scales_on_requests_has_no_idle_timeout(self, rest: Rest) -> None:
        """It is left out of answers, and refused in bodies (3.2)."""
        made = rest.post("/v2/serverless", endpoint(scaling=REQUEST_COUNT))
        assert made["workers"] == {"min": 0, "max": 1}
        path = f"/v2/serverless/{made['id']}"
        assert detail(rest.refused("PATCH", path, {"workers": {"idleTimeout": 5}})) == (
            422,
            "idleTimeout does not apply to queue-based endpoints scaling on requestCount",
        )

    @pytest.mark.proves(
        "rule: rest-gpu-selection", "rule: rest-cuda-exclusive", "rule: rest-unknown-properties"
    )
    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"gpu": {"pools": ["AMPERE_12"]}}, 400),
            ({"gpu": {"pools": ["AMPERE_48"], "excludedTypes": ["NVIDIA L4"]}}, 400),
            ({"gpu": {"pools": ["ADA_24"], "excludedTypes": ["NVIDIA GeForce RTX 4090"]}}, 400),
            ({"gpu": {**GPU, "allowedCudaVersions": ["12.8"], "minCudaVersion": "12.4"}}, 400),
            ({"cpu": [{"id": "cpu3g", "vcpuCount": 4}]}, 400),
            ({"networkVolumes": ["unknown"]}, 400),
            ({"registry": "unknown"}, 400),
            ({"workers": {"min": 2, "max": 1}}, 400),
            ({"workers": {"max": 31}}, 400),
            ({"timeout": -1}, 400),
            ({"templateId": "unknown"}, 404),
            ({"gpu": {"excludedTypes": ["NVIDIA A40"]}}, 422),
            ({"type": "LOAD_BALANCER"}, 422),
            ({"scaling": {"type": "QUEUE_DELAY", "queueDelay": 0.4}}, 422),
            ({"workers": {"idleTimeout": 3601}}, 422),
            ({"executionTimeout": 1}, 422),
            ({"name": ""}, 422),
        ],
    )
    def test_what_the_real_one_refuses_is_refused(
        self, rest: Rest, fields: dict[str, Any], status: int
    ) -> None:
        """By the contract (422), by a rule (400), or for what it refers to (404)."""
        assert rest.refused("POST", "/v2/serverless", endpoint(**fields))[0] == status
        assert rest.get("/v2/serverless")["endpoints"] == []

    def test_a_pod_template_is_no_source_for_an_endpoint(self, rest: Rest) -> None:
        """422, as the contract says."""
        template = rest.post("/v2/templates", {"name": "t", "image": "a"})
        body = endpoint(templateId=template["id"])
        assert rest.refused("POST", "/v2/serverless", body)[0] == 422

    @pytest.mark.proves(
        "rule: releases", "rule: rolling-release", "rest: GET /v2/serverless/{id}/releases"
    )
    def test_releases_tell_what_changed(self, rest: Rest) -> None:
        """The newest first; what replaces no worker is no release."""
        path = f"/v2/serverless/{rest.post('/v2/serverless', endpoint(workers={'max': 0}))['id']}"
        rest.patch(path, {"gpu": {"count": 2}})
        rest.patch(path, {"image": "other"})
        rest.patch(path, {"timeout": 5000})
        listing = rest.get(f"{path}/releases")
        versions = [each["version"] for each in listing["releases"]]
        assert versions == sorted(versions, reverse=True)
        assert [each["diff"] for each in listing["releases"]] == [
            [{"field": "template.imageName", "old": "plain", "new": "other"}],
            [{"field": "gpuCount", "old": 1, "new": 2}],
            [],
        ]
        assert listing["endpointVersion"] == versions[0]
        assert listing["rollout"] == {
            "inProgress": False,
            "workersOnLatest": 0,
            "workersTotal": 0,
            "percentOnLatest": 0,
        }


class TestAccount:
    """Registries, network volumes and SSH keys."""

    @pytest.mark.proves(
        "rule: registry-in-use",
        "rest: GET /v2/registries",
        "rest: POST /v2/registries",
        "rest: GET /v2/registries/{id}",
        "rest: DELETE /v2/registries/{id}",
    )
    def test_a_registry_never_shows_its_credentials(self, rest: Rest) -> None:
        """Made, used by a template, shown, and deleted when nobody uses it."""
        given = {"name": "hub", "username": "u", "password": "p"}
        made = rest.post("/v2/registries", given)
        assert made == {"id": made["id"], "name": "hub"}
        assert rest.get("/v2/registries")["registries"] == [made]
        assert rest.get(f"/v2/registries/{made['id']}") == made
        template = rest.post("/v2/templates", {"name": "t", "image": "a", "registry": made["id"]})
        assert template["registry"] == made["id"]
        assert rest.refused("DELETE", f"/v2/registries/{made['id']}")[0] == 400
        rest.delete(f"/v2/templates/{template['id']}")
        rest.delete(f"/v2/registries/{made['id']}")
        assert rest.refused("DELETE", f"/v2/registries/{made['id']}")[0] == 404

    @pytest.mark.proves(
        "rest: GET /v2/network-volumes",
        "rest: POST /v2/network-volumes",
        "rest: GET /v2/network-volumes/{id}",
        "rest: PATCH /v2/network-volumes/{id}",
        "rest: DELETE /v2/network-volumes/{id}",
    )
    def test_a_volume_grows_and_never_shrinks(self, rest: Rest) -> None:
        """Made, used by an endpoint, enlarged, and deleted when nobody uses it."""
        made = rest.post("/v2/network-volumes", {"name": "v", "size": 10, "dataCenter": "EU-RO-1"})
        path = f"/v2/network-volumes/{made['id']}"
        assert made == {
            "id": made["id"],
            "name": "v",
            "size": 10,
            "dataCenter": "EU-RO-1",
            "type": "STANDARD",
        }
        assert rest.patch(path, {"size": 20}) == {**made, "size": 20}
        assert rest.refused("PATCH", path, {"size": 10})[0] == 400
        assert rest.patch(path, {"name": "w"}) == {**made, "name": "w", "size": 20}
        assert rest.refused("PATCH", path, {})[0] == 422
        user = rest.post("/v2/serverless", endpoint(networkVolumes=[made["id"]]))
        assert user["networkVolumes"] == [made["id"]]
        assert rest.refused("DELETE", path)[0] == 400
        rest.delete(f"/v2/serverless/{user['id']}")
        assert rest.get("/v2/network-volumes")["networkVolumes"] == [rest.get(path)]
        rest.delete(path)

    @pytest.mark.proves("rest: GET /v2/account/ssh-keys", "rest: PUT /v2/account/ssh-keys")
    def test_ssh_keys_are_replaced_as_a_whole(self, rest: Rest, client: Client) -> None:
        """And are GraphQL's pubKey."""
        keys = ["ssh-ed25519 AAAA me@here", "ssh-rsa BBBB"]
        assert rest.ask("PUT", "/v2/account/ssh-keys", {"keys": keys}).json() == {"keys": keys}
        seen = client.graphql("{ myself { pubKey } }")["myself"]["pubKey"]
        assert seen.splitlines() == keys
        assert rest.refused("PUT", "/v2/account/ssh-keys", {"keys": ["secret"]})[0] == 422
        assert rest.ask("PUT", "/v2/account/ssh-keys", {"keys": []}).json() == {"keys": []}
        assert rest.get("/v2/account/ssh-keys") == {"keys": []}


class TestCatalog:
    """/v2/catalog."""

    @pytest.mark.proves("rest: GET /v2/catalog/gpus", "rest: GET /v2/catalog/gpus/{id}")
    def test_gpu_types_tell_their_pool_and_price(self, rest: Rest) -> None:
        """With availability only if it is asked for, by product and country."""
        gpu = rest.get("/v2/catalog/gpus/NVIDIA A40")
        assert (gpu["pool"], gpu["memory"], gpu["price"]["serverless"]) == ("AMPERE_48", 48, 1.224)
        assert gpu in rest.get("/v2/catalog/gpus")["gpus"]
        stock = {"include": "AVAILABILITY", "product": "SERVERLESS", "countryCodes": "RO"}
        here = rest.get("/v2/catalog/gpus/NVIDIA A40", **stock)
        assert here["availability"] == "HIGH"
        assert [each["id"] for each in here["dataCenters"]] == ["EU-RO-1"]
        nowhere = {**stock, "countryCodes": "ZZ"}
        assert rest.get("/v2/catalog/gpus", **nowhere)["gpus"] == []
        assert rest.get("/v2/catalog/gpus/NVIDIA A40", **nowhere)["availability"] == "NONE"
        as_pod = {"include": "AVAILABILITY", "product": "POD"}
        assert rest.get("/v2/catalog/gpus/NVIDIA A40", **as_pod)["availability"] == "NONE"

    @pytest.mark.proves("rest: GET /v2/catalog/cpus", "rest: GET /v2/catalog/cpus/{id}")
    def test_cpu_flavors_tell_their_memory(self, rest: Rest) -> None:
        """One by one and all together."""
        cpu = rest.get("/v2/catalog/cpus/cpu3g", include="AVAILABILITY", product="SERVERLESS")
        assert (cpu["ramGbPerVcpu"], cpu["availability"]) == (4, "HIGH")
        assert len(rest.get("/v2/catalog/cpus")["cpus"]) == 6

    @pytest.mark.proves(
        "rest: GET /v2/catalog/datacenters", "rest: GET /v2/catalog/datacenters/{id}"
    )
    def test_data_centers_can_be_filtered(self, rest: Rest) -> None:
        """Any of the regions, all of the rest."""
        asia = rest.get("/v2/catalog/datacenters", regions="ASIA", networkVolumeTypes="STANDARD")
        assert {each["id"] for each in asia["dataCenters"]} == {"AP-IN-1", "AP-JP-1"}
        assert rest.get("/v2/catalog/datacenters", globalNetwork="true")["dataCenters"] == []
        one = rest.get("/v2/catalog/datacenters/EU-RO-1", include="GPU_AVAILABILITY")
        assert (one["region"], len(one["gpuAvailability"]) > 20) == ("EUROPE", True)

    @pytest.mark.proves("rest: GET /v2/catalog/templates")
    def test_nobody_published_templates(self, rest: Rest) -> None:
        """Whatever source is asked for."""
        assert rest.get("/v2/catalog/templates", source="community")["templates"] == []

    @pytest.mark.proves("rule: rest-catalog-queries")
    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("include=AVAILABILITY", 400),
            ("product=POD", 400),
            ("count=1", 400),
            ("include=AVAILABILITY&product=POD&cudaVersions=12.8&minCudaVersion=12", 400),
            ("include=AVAILABILITY&product=POD&cudaVersions=12", 422),
            ("include=AVAILABILITY&product=POD&countryCodes=de", 422),
            ("include=STOCK", 422),
            ("limit=0", 422),
            ("limit=many", 422),
        ],
    )
    def test_filters_without_sense_are_refused(self, rest: Rest, query: str, status: int) -> None:
        """Combinations by a rule, malformed values by the contract (3.2)."""
        assert rest.refused("GET", f"/v2/catalog/gpus?{query}")[0] == status


class TestBilling:
    """/v2/billing."""

    @pytest.mark.proves(
        "rest: GET /v2/billing",
        "rest: GET /v2/billing/pods",
        "rest: GET /v2/billing/endpoints",
        "rest: GET /v2/billing/clusters",
    )
    def test_an_unused_account_costs_nothing(self, rest: Rest) -> None:
        """One record a day for everything together; none for what does not exist here."""
        everything = rest.get("/v2/billing", lastN=7)
        assert everything["metadata"]["recordCount"] == len(everything["records"]) == 7
        for kind in ("pods", "endpoints", "clusters"):
            assert rest.get(f"/v2/billing/{kind}")["records"] == []

    @pytest.mark.proves("rest: GET /v2/billing/network-volumes")
    def test_volumes_cost_from_when_they_were_made(self, rest: Rest) -> None:
        """By volume, and in the bill of everything."""
        body = {"name": "v", "size": 4096, "dataCenter": "EU-RO-1"}
        volume = rest.post("/v2/network-volumes", body)
        query = {"lastN": 1, "networkVolumeId": volume["id"]}
        bill = rest.get("/v2/billing/network-volumes", **query)
        assert [each["networkVolumeId"] for each in bill["records"]] == [volume["id"]]
        assert bill["metadata"]["totals"]["standardAmount"] > 0
        assert bill["metadata"]["query"]["networkVolumeId"] == volume["id"]
        everything = rest.get("/v2/billing", lastN=1)["metadata"]["totals"]
        assert everything["storageStandardAmount"] == everything["totalAmount"] > 0

    @pytest.mark.proves("rule: rest-billing")
    def test_periods_are_widened_to_whole_buckets(self, rest: Rest) -> None:
        """The resolved window is told; its end is exclusive."""
        period = {"startTime": "2026-01-15T12:00:00+01:00", "endTime": "2026-02-01T00:00:00Z"}
        query = rest.get("/v2/billing", **period, bucketSize="month")["metadata"]["query"]
        assert query == {
            "startTime": "2026-01-01T00:00:00Z",
            "endTime": "2026-02-01T00:00:00Z",
            "bucketSize": "month",
        }

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("lastN=1&startTime=2026-01-01T00:00:00Z", 400),
            ("startTime=2026-01-02T00:00:00Z&endTime=2026-01-01T00:00:00Z", 400),
            ("lastN=1000000", 400),
            ("lastN=2001&bucketSize=hour", 400),
            ("lastN=2000&bucketSize=year", 400),
            ("startTime=1971-01-01T00:00:00Z&bucketSize=hour", 400),
            ("lastN=0", 422),
            ("startTime=yesterday", 422),
            ("bucketSize=decade", 422),
        ],
    )
    def test_periods_without_sense_are_refused(self, rest: Rest, query: str, status: int) -> None:
        """Also those with more buckets than anybody can want."""
        assert rest.refused("GET", f"/v2/billing/serverless?{query}")[0] == status
