"""The schema, how it is wired, and what its operations do; a whole server is tested elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from graphql import GraphQLObjectType, build_schema, execute, parse, validate
from starlette.applications import Starlette
from starlette.routing import Route

from runpodctl_py.emulator.control.model import camel_case, snake_case
from runpodctl_py.emulator.graphql import answering as graphql
from runpodctl_py.emulator.graphql.words import in_runpods_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import World
    from starlette.requests import Request
    from starlette.responses import Response

SDL = build_schema(Path(graphql.__file__).with_name("schema.graphql").read_text("utf-8"))
SCHEMA = graphql.load_schema()

PYPI_SAVE_TEMPLATE = """
mutation { saveTemplate( input: { name: "my t", imageName: "img:1", dockerArgs: "python -u h.py",
containerDiskInGb: 10, volumeInGb: 0, ports: "", env: [{ key: "A", value: "b" }],
isServerless: true, containerRegistryAuthId : "", startSsh: true, isPublic: false, readme: "" } )
{ id name imageName dockerArgs containerDiskInGb volumeInGb volumeMountPath ports
env { key value } isServerless } }
"""
PYPI_SAVE_ENDPOINT = """
mutation { saveEndpoint( input: { flashBootType: FLASHBOOT, name: "my e", templateId: "xkhgg72fuo",
gpuIds: "AMPERE_48,-NVIDIA A40", networkVolumeId: "", locations: "", idleTimeout: 5,
scalerType: "QUEUE_DELAY", scalerValue: 4, workersMin: 0, workersMax: 2, gpuCount: 1 } )
{ id name templateId gpuIds networkVolumeId locations idleTimeout scalerType scalerValue
workersMin workersMax allowedCudaVersions gpuCount flashBootType } }
"""
PYPI_GET_ENDPOINTS = """
query Query { myself { endpoints { aiKey gpuIds id idleTimeout name networkVolumeId locations
scalerType scalerValue templateId type userId version workersMax workersMin workersStandby gpuCount
env { key value } createdAt networkVolume { id dataCenterId } } } }
"""
PYPI_GET_GPU = """
query GpuTypes { gpuTypes(input: {id: "NVIDIA A40"}) { maxGpuCount id displayName manufacturer
memoryInGb cudaCores secureCloud communityCloud securePrice communityPrice oneMonthPrice
threeMonthPrice oneWeekPrice communitySpotPrice secureSpotPrice
lowestPrice(input: {gpuCount: 2}) { minimumBidPrice uninterruptablePrice } } }
"""
PYPI_GET_USER = "query myself { myself { id pubKey networkVolumes { id name size dataCenterId } } }"
PYPI_GET_PODS = """
query myPods { myself { pods { id containerDiskInGb costPerHr desiredStatus dockerArgs dockerId env
gpuCount imageName lastStatusChange machineId memoryInGb name podType port ports uptimeSeconds
vcpuCount volumeInGb volumeMountPath runtime { ports{ ip isIpPublic privatePort publicPort type } }
machine { gpuDisplayName } } } }
"""
PYPI_CREATE_POD = """
mutation { podFindAndDeployOnDemand( input: { name: "p", imageName: "i", cloudType: ALL,
startSsh: true, gpuTypeId: "NVIDIA A40", supportPublicIp: true, gpuCount: 1, volumeInGb: 0,
minVcpuCount: 1, minMemoryInGb: 1, allowedCudaVersions: ["12.4"], dataCenterId: null,
dockerArgs: "", countryCode: "RO", containerDiskInGb: 10, ports: "22/tcp", volumeMountPath: "/v",
env: [{ key: "A", value: "b" }], templateId: "t", networkVolumeId: "v", minDownload: 1,
minUpload: 1 } ) { id imageName env machineId machine { podHostId } } }
"""
PYPI_CREATE_CPU_POD = """
mutation { deployCpuPod( input: { name: "p", imageName: "i", cloudType: ALL, startSsh: true,
instanceId: "cpu3c-2-4", dataCenterId: null, dockerArgs: "", containerDiskInGb: 10,
volumeMountPath: "/v", templateId: "runpod-ubuntu" } )
{ id imageName env machineId machine { podHostId } } }
"""
PYPI_STOP_POD = 'mutation { podStop(input: { podId: "p" }) { id desiredStatus } }'
PYPI_RESUME_POD = """
mutation { podResume(input: { podId: "p", gpuCount: 1 })
{ id desiredStatus imageName env machineId machine { podHostId } } }
"""
PYPI_TERMINATE_POD = 'mutation { podTerminate(input: { podId: "p" }) }'
PYPI_GET_POD = 'query pod { pod(input: {podId: "p"}) { id costPerHr machine { gpuDisplayName } } }'
FLASH_AND_TEST_RUNNER = """
mutation Save($t: SaveTemplateInput, $e: EndpointInput!, $id: String!) {
saveTemplate(input: $t) { id } saveEndpoint(input: $e) { id aiKey } deleteEndpoint(id: $id)
deleteTemplate(templateName: $id) }
"""
FLASH_STOCK = """
query ServerlessTypes($lowestPriceInput: GpuLowestPriceInput, $gpuTypesInput: GpuTypeFilter,
$cpuFlavorInput: CpuFlavorInput, $specificsInput: SpecificsInput) {
gpuTypes(input: $gpuTypesInput) { id displayName
lowestPrice(input: $lowestPriceInput) { stockStatus __typename } __typename }
cpuFlavors(input: $cpuFlavorInput) { id
specifics(input: $specificsInput) { stockStatus __typename } __typename } }
"""
RUNPODCTL_ACCOUNT = """
query { myself { id email clientBalance currentSpendPerHr spendLimit notifyPodsStale
notifyPodsGeneral notifyLowBalance } serverlessGpuPools { id gpuTypeIds }
dataCenters { id name location gpuAvailability { gpuTypeId displayName stockStatus } } }
"""
SERVED = (
    PYPI_SAVE_TEMPLATE,
    PYPI_SAVE_ENDPOINT,
    PYPI_GET_ENDPOINTS,
    PYPI_GET_GPU,
    PYPI_GET_USER,
    FLASH_AND_TEST_RUNNER,
    FLASH_STOCK,
    RUNPODCTL_ACCOUNT,
)
REFUSED = {
    PYPI_GET_PODS: "User.pods",
    PYPI_GET_POD: "Query.pod",
    PYPI_CREATE_POD: "Mutation.podFindAndDeployOnDemand",
    PYPI_CREATE_CPU_POD: "Mutation.deployCpuPod",
    PYPI_STOP_POD: "Mutation.podStop",
    PYPI_RESUME_POD: "Mutation.podResume",
    PYPI_TERMINATE_POD: "Mutation.podTerminate",
}


def ask(world: World, document: str, **variables: Any) -> Any:
    """Carries out a document that must succeed; returns its data."""
    parsed = parse(document)
    assert validate(SCHEMA, parsed) == []
    result = execute(SCHEMA, parsed, context_value=world.state, variable_values=variables)
    assert result.errors is None, result.errors
    return result.data


def served_fields(type_name: str) -> set[str]:
    """Returns the fields of a type that somebody resolves."""
    return {name for table in graphql.RESOLVERS for name in table.get(type_name, ())}


# The schema.


@pytest.mark.proves("rule: graphql-literals-and-variables")
@pytest.mark.parametrize("document", [*SERVED, *REFUSED])
def test_official_documents_are_valid(document: str) -> None:
    """Word for word as official clients send them."""
    assert validate(SDL, parse(document)) == []


def test_every_resolver_has_its_field() -> None:
    """A resolver whose field is misspelt would never run; nor one that two tables define."""
    for table in graphql.RESOLVERS:
        for type_name, resolvers in table.items():
            kind = SDL.type_map[type_name]
            assert isinstance(kind, GraphQLObjectType)
            assert set(resolvers) <= set(kind.fields)
    names = [(kind, name) for table in graphql.RESOLVERS for kind in table for name in table[kind]]
    assert len(names) == len(set(names))


def test_only_operations_on_pods_are_not_served() -> None:
    """Whatever else is in the roots does something."""
    missing = set()
    for name in ("Query", "Mutation"):
        kind = SDL.type_map[name]
        assert isinstance(kind, GraphQLObjectType)
        missing |= set(kind.fields) - served_fields(name)
    assert all("pod" in name.lower() for name in missing)
    assert len(missing) == 7


@pytest.mark.proves("rule: not-emulated-says-so")
@pytest.mark.parametrize(("document", "field"), REFUSED.items())
def test_pods_fail_loudly(world: World, document: str, field: str) -> None:
    """The message names the field, so that nobody takes an empty list for the truth."""
    result = execute(SCHEMA, parse(document), context_value=world.state)
    assert result.errors is not None
    assert [each.message for each in result.errors] == [f"not emulated: {field}"]


@pytest.mark.proves("rule: not-emulated-says-so")
def test_what_is_not_served_says_so(world: World) -> None:
    """It never answers null, and leaves the rest of the answer alone."""
    document = parse("{ myself { id apiKeys { id } } }")
    result = execute(SCHEMA, document, context_value=world.state)
    assert result.errors is not None
    assert [each.message for each in result.errors] == ["not emulated: User.apiKeys"]
    assert result.data == {"myself": {"id": "user_local", "apiKeys": None}}


def test_names_are_translated() -> None:
    """Abbreviations stay whole."""
    names = ["id", "workersPFBTarget", "executionTimeoutMs", "volumeInGb", "startSsh"]
    assert [snake_case(name) for name in names] == [
        "id",
        "workers_pfb_target",
        "execution_timeout_ms",
        "volume_in_gb",
        "start_ssh",
    ]
    assert [camel_case(snake_case(name)) for name in names if "PFB" not in name] == [
        "id",
        "executionTimeoutMs",
        "volumeInGb",
        "startSsh",
    ]


# Templates and endpoints.


@pytest.mark.proves(
    "graphql: Mutation.saveTemplate",
    "graphql: Query.podTemplate",
    "graphql: Query.podTemplates",
    "graphql: User.podTemplates",
    "graphql: PodTemplate",
    "graphql: EnvironmentVariable",
    "graphql: PortConfig",
    "rule: graphql-literals-and-variables",
)
def test_a_template_is_saved_and_read_back(world: World) -> None:
    """In every way there is to read it; the public list has none of ours."""
    template_id = ask(world, PYPI_SAVE_TEMPLATE)["saveTemplate"]["id"]
    every_field = """fragment All on PodTemplate { id name imageName dockerArgs
        containerDiskInGb volumeInGb volumeMountPath ports
        portsConfig { port name } env { key value } isPublic isRunpod isServerless boundEndpointId
        readme runtimeInMin startJupyter startScript startSsh advancedStart containerRegistryAuthId
        category config earned }"""
    template = ask(
        world,
        "mutation ($i: SaveTemplateInput!) { saveTemplate(input: $i) { ...All } }" + every_field,
        i={
            "id": template_id,
            "name": "my t",
            "imageName": "img:2",
            "dockerArgs": "",
            "containerDiskInGb": 10,
            "volumeInGb": 0,
            "env": [],
            "ports": "8888/http",
            "portsConfig": [{"port": "8888", "name": "web"}],
            "isServerless": True,
            "config": {"any": ["thing"]},
        },
    )["saveTemplate"]
    assert template == {
        "id": template_id,
        "name": "my t",
        "imageName": "img:2",
        "dockerArgs": "",
        "containerDiskInGb": 10,
        "volumeInGb": 0,
        "volumeMountPath": None,
        "ports": "8888/http",
        "portsConfig": [{"port": "8888", "name": "web"}],
        "env": [],
        "isPublic": False,
        "isRunpod": False,
        "isServerless": True,
        "boundEndpointId": None,
        "readme": None,
        "runtimeInMin": 0,
        "startJupyter": False,
        "startScript": None,
        "startSsh": False,
        "advancedStart": False,
        "containerRegistryAuthId": None,
        "category": None,
        "config": {"any": ["thing"]},
        "earned": 0.0,
    }
    read = ask(
        world,
        "query ($id: String!) { podTemplate(id: $id) { ...All } podTemplates { ...All }"
        " myself { podTemplates { ...All } } none: podTemplates(input: {isRunpod: true}) { id } }"
        + every_field,
        id=template_id,
    )
    assert read == {
        "podTemplate": template,
        "podTemplates": [template],
        "myself": {"podTemplates": [template]},
        "none": [],
    }


@pytest.mark.proves("graphql: Mutation.deleteTemplate")
def test_a_template_is_deleted_by_its_name(world: World) -> None:
    """For good: no list shows it, no restart brings it back, and its name is free again."""
    kept, _ = world.template("kept"), world.template("t")
    assert ask(world, 'mutation { deleteTemplate(templateName: "t") }') == {"deleteTemplate": None}
    assert ask(world, "{ podTemplates { id } }") == {"podTemplates": [{"id": kept}]}
    assert [each["id"] for each in world.store.load().of("template")] == [kept]
    world.template("t")


@pytest.mark.proves("rule: flashboot-suffix")
@pytest.mark.parametrize(
    ("fields", "flash_boot"),
    [
        ({"name": "e-fb"}, "FLASHBOOT"),
        ({"name": "e-fb", "flashBootType": "OFF"}, "OFF"),
        ({"name": "e"}, "OFF"),
    ],
)
def test_a_suffix_switches_flashboot_on(
    world: World, fields: Mapping[str, str], flash_boot: str
) -> None:
    """Unless the client says otherwise, as clients do today."""
    saved = ask(
        world,
        "mutation ($i: EndpointInput!) { saveEndpoint(input: $i) { flashBootType } }",
        i={**fields, "templateId": world.template()},
    )
    assert saved["saveEndpoint"]["flashBootType"] == flash_boot


def test_nulls_in_lists_say_nothing(world: World) -> None:
    """GraphQL lets them through; a port without a number has none."""
    template = {
        "name": "t",
        "imageName": "i",
        "dockerArgs": "",
        "containerDiskInGb": 5,
        "volumeInGb": 0,
        "env": [],
        "isServerless": True,
        "portsConfig": [{"name": "web"}, {"port": None}],
    }
    save = """mutation ($i: SaveTemplateInput)
        { saveTemplate(input: $i) { id portsConfig { name port } } }"""
    saved = ask(world, save, i=template)["saveTemplate"]
    assert saved["portsConfig"] == [{"name": "web", "port": None}, {"name": None, "port": None}]
    endpoint = {"name": "e", "templateId": saved["id"], "instanceIds": [None, "cpu3c-2-4"]}
    save = "mutation ($i: EndpointInput!) { saveEndpoint(input: $i) { instanceIds } }"
    assert ask(world, save, i=endpoint)["saveEndpoint"] == {"instanceIds": ["cpu3c-2-4"]}


@pytest.mark.proves(
    "graphql: User.endpoints",
    "graphql: User.endpoint",
    "graphql: Endpoint",
    "graphql: NetworkVolumeIds",
)
def test_an_endpoint_shows_its_volumes_and_its_machine(world: World) -> None:
    """The ids of its volumes are told with their data centres."""
    volume = world.state.account.create_volume("v", 10, "EU-RO-1")
    endpoint = world.endpoint(
        network_volume_id=volume.id,
        network_volume_ids=(volume.id,),
        instance_ids=("cpu3c-2-4",),
    )
    read = """query ($id: String!) { myself { endpoint(id: $id) { networkVolumeId
        networkVolumeIds { networkVolumeId dataCenterId } networkVolume { id dataCenterId }
        computeType instanceIds createdAt activeBuildid hubRelease repo idePodId } } }"""
    assert ask(world, read, id=endpoint.id)["myself"]["endpoint"] == {
        "networkVolumeId": volume.id,
        "networkVolumeIds": [{"networkVolumeId": volume.id, "dataCenterId": "EU-RO-1"}],
        "networkVolume": {"id": volume.id, "dataCenterId": "EU-RO-1"},
        "computeType": "CPU",
        "instanceIds": ["cpu3c-2-4"],
        "createdAt": shown_time(world),
        "activeBuildid": None,
        "hubRelease": None,
        "repo": None,
        "idePodId": None,
    }
    (listed,) = ask(world, PYPI_GET_ENDPOINTS)["myself"]["endpoints"]
    assert (listed["id"], listed["aiKey"], listed["userId"]) == (endpoint.id, None, "user_local")


@pytest.mark.proves(
    "graphql: Mutation.saveEndpoint",
    "graphql: Mutation.updateEndpointTemplate",
    "graphql: Mutation.updateEndpointWorkersMin",
    "graphql: Mutation.updateEndpointWorkersMax",
    "graphql: Mutation.deleteEndpoint",
    "rule: endpoint-single-changes",
)
def test_an_endpoint_is_saved_changed_and_deleted(world: World) -> None:
    """Single changes leave the rest alone, the volumes among it."""
    volume = world.state.account.create_volume("v", 10, "EU-RO-1")
    endpoint_id = ask(
        world,
        "mutation ($i: EndpointInput!) { saveEndpoint(input: $i) { id } }",
        i={
            "name": "e",
            "templateId": world.template("one"),
            "networkVolumeIds": [{"networkVolumeId": volume.id}],
            "idleTimeout": 42,
        },
    )["saveEndpoint"]["id"]
    for operation, kind, given in (
        ("updateEndpointTemplate", "Template", {"templateId": world.template("two")}),
        ("updateEndpointWorkersMax", "Workers", {"workerCount": 7}),
        ("updateEndpointWorkersMin", "Workers", {"workerCount": 2}),
    ):
        document = (
            f"mutation ($i: UpdateEndpoint{kind}Input!) {{ {operation}(input: $i) {{ id }} }}"
        )
        changed = ask(world, document, i={"endpointId": endpoint_id, **given})
        assert changed == {operation: {"id": endpoint_id}}
    endpoint = world.state.endpoint(endpoint_id)
    assert world.state.control.template_of(endpoint).name == "two"
    assert (endpoint.workers_min, endpoint.workers_max) == (2, 7)
    assert (endpoint.idle_timeout, endpoint.network_volume_ids) == (42, (volume.id,))
    gone = ask(world, "mutation ($id: String!) { deleteEndpoint(id: $id) }", id=endpoint_id)
    assert gone == {"deleteEndpoint": None}
    assert world.state.control.endpoints == {}


@pytest.mark.proves("graphql: Pod", "graphql: WorkerState")
def test_an_endpoints_workers_are_its_pods(world: World) -> None:
    """With what they cost, and counted by their state."""
    template_id = world.template(container_disk_in_gb=5, docker_args="run", ports="80/http")
    endpoint = world.endpoint(template_id=template_id, gpu_ids="AMPERE_48", gpu_count=2)
    _, worker = world.running(endpoint)
    world.state.fleet.add(endpoint)
    world.clock.advance(7.5)
    started_at = shown_time(world, -7.5)
    read = """query ($id: String!) { myself { endpoint(id: $id) {
        workerState { time initialized ready running throttled }
        pods { id desiredStatus imageName templateId containerDiskInGb volumeInGb dockerArgs ports
        gpuCount costPerHr createdAt lastStartedAt uptimeSeconds slsVersion } } } }"""
    shown = ask(world, read, id=endpoint.id)["myself"]["endpoint"]
    assert shown["workerState"] == [
        {
            "time": shown_time(world),
            "initialized": 1,
            "ready": 0,
            "running": 1,
            "throttled": 0,
        }
    ]
    assert len(shown["pods"]) == 2
    assert shown["pods"][0] == {
        "id": worker.id,
        "desiredStatus": "RUNNING",
        "imageName": "image",
        "templateId": template_id,
        "containerDiskInGb": 5,
        "volumeInGb": 0,
        "dockerArgs": "run",
        "ports": "80/http",
        "gpuCount": 2,
        "costPerHr": pytest.approx(2 * 3600 * 0.00034),
        "createdAt": started_at,
        "lastStartedAt": started_at,
        "uptimeSeconds": 7,
        "slsVersion": 0,
    }


def test_the_past_of_workers_is_not_remembered(world: World) -> None:
    """Asking for it fails instead of showing the present."""
    world.endpoint()
    document = "{ myself { endpoints { workerState(input: {granularity: DAILY}) { ready } } } }"
    result = execute(SCHEMA, parse(document), context_value=world.state)
    assert result.errors is not None
    assert result.errors[0].message == "not emulated: Endpoint.workerState of the past"


def shown_time(world: World, offset_s: float = 0.0) -> str:
    """Returns a time from now as RunPod writes it."""
    time = datetime.fromtimestamp(world.clock.now() + offset_s, UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"


# The account.


@pytest.mark.proves(
    "graphql: Mutation.saveRegistryAuth",
    "graphql: Mutation.updateRegistryAuth",
    "graphql: Mutation.deleteRegistryAuth",
    "graphql: User.containerRegistryCreds",
    "graphql: ContainerRegistryAuth",
)
def test_registries_come_and_go(world: World) -> None:
    """In the words of the PyPI client; what was saved is not shown."""
    saved = ask(
        world,
        """mutation SaveRegistryAuth { saveRegistryAuth(input: {name: "hub", username: "me",
        password: "hush"}) { id name } }""",
    )["saveRegistryAuth"]
    assert saved["name"] == "hub"
    updated = ask(
        world,
        """mutation UpdateRegistryAuth { updateRegistryAuth(input: {id: "ID", username: "you",
        password: "quiet"}) { id name } }""".replace("ID", saved["id"]),
    )["updateRegistryAuth"]
    assert updated == saved
    shown = ask(world, "{ myself { containerRegistryCreds { id name userId } } }")["myself"]
    assert shown["containerRegistryCreds"] == [{**saved, "userId": "user_local"}]
    gone = ask(
        world,
        'mutation DeleteRegistryAuth { deleteRegistryAuth(registryAuthId: "ID") }'.replace(
            "ID", saved["id"]
        ),
    )
    assert gone == {"deleteRegistryAuth": None}
    assert world.state.account.registries == {}


@pytest.mark.proves(
    "graphql: Mutation.secretCreate",
    "graphql: Mutation.secretDelete",
    "graphql: User.secrets",
    "graphql: Secret",
)
def test_secrets_come_and_go(world: World) -> None:
    """Their values cannot be asked for."""
    secret = ask(
        world,
        """mutation { secretCreate(input: {name: "token", value: "s3cret"})
        { id name description } }""",
    )["secretCreate"]
    assert (secret["name"], secret["description"]) == ("token", "")
    read = "{ myself { secrets { id name description createdAt updatedAt lastUpdatedAt } } }"
    time = shown_time(world)
    assert ask(world, read)["myself"]["secrets"] == [
        {**secret, "createdAt": time, "updatedAt": time, "lastUpdatedAt": time}
    ]
    for name in ("value", "registryAuth", "password", "username"):
        for kind in ("Secret", "ContainerRegistryAuth"):
            assert name not in SDL.type_map[kind].fields  # type: ignore[attr-defined]
    gone = ask(world, "mutation ($id: String!) { secretDelete(id: $id) }", id=secret["id"])
    assert gone == {"secretDelete": None}
    assert world.state.account.secrets == {}


@pytest.mark.proves(
    "graphql: Mutation.createNetworkVolume",
    "graphql: Mutation.updateNetworkVolume",
    "graphql: Mutation.deleteNetworkVolume",
    "graphql: User.networkVolumes",
    "graphql: NetworkVolume",
)
def test_network_volumes_come_and_go(world: World) -> None:
    """As `get_user` of the PyPI client sees them."""
    volume = ask(
        world,
        """mutation ($i: CreateNetworkVolumeInput!) { createNetworkVolume(input: $i)
        { id name size dataCenterId dataCenter { id } } }""",
        i={"name": "data", "size": 10, "dataCenterId": "EU-RO-1"},
    )["createNetworkVolume"]
    assert volume.pop("dataCenter") == {"id": "EU-RO-1"}
    ask(
        world,
        "mutation ($i: UpdateNetworkVolumeInput!) { updateNetworkVolume(input: $i) { id } }",
        i={"id": volume["id"], "size": 20},
    )
    shown = ask(world, PYPI_GET_USER)["myself"]["networkVolumes"]
    assert shown == [{**volume, "size": 20}]
    delete = "mutation ($id: String!) { deleteNetworkVolume(input: {id: $id}) }"
    assert ask(world, delete, id=volume["id"]) == {"deleteNetworkVolume": True}
    assert ask(world, PYPI_GET_USER)["myself"]["networkVolumes"] == []


@pytest.mark.proves("graphql: Mutation.updateUserSettings", "graphql: User.pubKey")
def test_the_ssh_key_is_kept(world: World) -> None:
    """Leaving it out changes nothing."""
    saved = ask(
        world, 'mutation { updateUserSettings( input: { pubKey: "ssh-rsa A\\n" } ) { id pubKey } }'
    )
    assert saved["updateUserSettings"] == {"id": "user_local", "pubKey": "ssh-rsa A\n"}
    ask(world, "mutation { updateUserSettings(input: {}) { id } }")
    assert ask(world, PYPI_GET_USER)["myself"]["pubKey"] == "ssh-rsa A\n"


@pytest.mark.proves(
    "graphql: User.id",
    "graphql: User.email",
    "graphql: User.clientBalance",
    "graphql: User.currentSpendPerHr",
    "graphql: User.clientLifetimeSpend",
    "graphql: User.maxServerlessConcurrency",
    "graphql: User.spendLimit",
    "graphql: User.minBalance",
    "graphql: User.underBalance",
    "graphql: User.notifyPodsStale",
    "graphql: User.notifyPodsGeneral",
    "graphql: User.notifyLowBalance",
    "graphql: User.serverlessDiscount",
    "graphql: Query.myself",
    "rule: account-numbers",
)
def test_the_account_in_numbers(world: World) -> None:
    """What workers cost is computed; the rest are RunPod's defaults, and a balance that lasts."""
    world.state.fleet.add(world.endpoint(gpu_ids="AMPERE_48"))
    world.clock.advance(1000)
    read = """{ myself { id email clientBalance currentSpendPerHr clientLifetimeSpend spendLimit
        maxServerlessConcurrency minBalance underBalance notifyPodsStale notifyPodsGeneral
        notifyLowBalance serverlessDiscount { discountFactor } } }"""
    assert ask(world, read)["myself"] == {
        "id": "user_local",
        "email": "local@localhost",
        "clientBalance": 1000.0,
        "currentSpendPerHr": pytest.approx(3600 * 0.00034),
        "clientLifetimeSpend": pytest.approx(1000 * 0.00034),
        "spendLimit": 80.0,
        "maxServerlessConcurrency": 30,
        "minBalance": 0.0,
        "underBalance": False,
        "notifyPodsStale": False,
        "notifyPodsGeneral": False,
        "notifyLowBalance": False,
        "serverlessDiscount": None,
    }


@pytest.mark.proves(
    "graphql: User.billing",
    "graphql: UserBilling",
    "graphql: UserServerlessBilling",
    "graphql: UserSummaryBilling",
)
def test_the_bill_is_divided_and_grouped(world: World) -> None:
    """By day unless asked otherwise, and by endpoint and machine unless by one of them."""
    template_id = world.template(container_disk_in_gb=30)
    for gpu_ids in ("AMPERE_48", "ADA_24", "AMPERE_48"):
        endpoint = world.endpoint(template_id=template_id, gpu_ids=gpu_ids)
        worker = world.state.fleet.add(endpoint)
        world.clock.advance(300)
        world.state.fleet.remove(worker.id)
    read = """{ myself { billing(input: {granularity: MONTHLY}) {
        serverless(input: {groupBy: GPU_TYPE}) { time amount timeBilledSeconds endpointId gpuTypeId
        instanceId } summary { time gpuCloudAmount cpuCloudAmount serverlessAmount storageAmount
        runpodEndpointAmount } }
        daily: billing { serverless { endpointId gpuTypeId timeBilledSeconds } } } }"""
    shown = ask(world, read)["myself"]
    month = shown_time(world)[:8] + "01T00:00:00.000Z"
    bill = {each["gpuTypeId"]: each for each in shown["billing"]["serverless"]}
    assert bill["NVIDIA A40"] == {
        "time": month,
        "amount": pytest.approx(600 * 0.00034),
        "timeBilledSeconds": 600,
        "endpointId": None,
        "gpuTypeId": "NVIDIA A40",
        "instanceId": None,
    }
    assert bill["NVIDIA GeForce RTX 4090"]["amount"] == pytest.approx(300 * 0.00031)
    (summary,) = shown["billing"]["summary"]
    assert summary == {
        "time": month,
        "gpuCloudAmount": 0.0,
        "cpuCloudAmount": 0.0,
        "serverlessAmount": pytest.approx(600 * 0.00034 + 300 * 0.00031),
        "storageAmount": pytest.approx(30 * 0.10 * 900 / (30 * 86_400)),
        "runpodEndpointAmount": 0.0,
    }
    assert [each["timeBilledSeconds"] for each in shown["daily"]["serverless"]] == [300] * 3


# The catalogue.


@pytest.mark.proves("graphql: Query.gpuTypes", "graphql: GpuType", "graphql: LowestPrice")
def test_a_card_is_described_without_inventing_prices(world: World) -> None:
    """Prices of pods are in no source, so they are null."""
    (card,) = ask(world, PYPI_GET_GPU)["gpuTypes"]
    told = {name: value for name, value in card.items() if value is not None}
    assert told == {
        "id": "NVIDIA A40",
        "displayName": "A40",
        "manufacturer": "NVIDIA",
        "memoryInGb": 48,
        "lowestPrice": {"minimumBidPrice": None, "uninterruptablePrice": None},
    }
    read = """{ gpuTypes(input: {ids: ["NVIDIA B200", "NVIDIA A30"]})
        { id lowestPrice { stockStatus gpuName gpuTypeId minMemory minVcpu } } }"""
    assert ask(world, read)["gpuTypes"] == [
        {
            "id": gpu_type_id,
            "lowestPrice": {
                "stockStatus": stock,
                "gpuName": name,
                "gpuTypeId": gpu_type_id,
                "minMemory": None,
                "minVcpu": None,
            },
        }
        for gpu_type_id, name, stock in (
            ("NVIDIA B200", "B200", "High"),
            ("NVIDIA A30", "A30", None),
        )
    ]


@pytest.mark.proves(
    "graphql: Query.dataCenters",
    "graphql: User.datacenters",
    "graphql: DataCenter",
    "graphql: GpuAvailability",
    "graphql: Query.serverlessGpuPools",
    "graphql: ServerlessGpuPool",
)
def test_data_centers_have_every_card_of_the_pools(world: World) -> None:
    """Stock is simulated: always high."""
    read = """{ dataCenters { id name location listed storageSupport gpuAvailability { id gpuTypeId
        gpuTypeDisplayName displayName stockStatus available } } myself { datacenters { id } }
        serverlessGpuPools { id gpuTypeIds } }"""
    shown = ask(world, read)
    center = next(each for each in shown["dataCenters"] if each["id"] == "EU-RO-1")
    cards = center.pop("gpuAvailability")
    assert center == {
        "id": "EU-RO-1",
        "name": "EU-RO-1",
        "location": "Europe",
        "listed": True,
        "storageSupport": True,
    }
    assert {
        "id": "NVIDIA A40",
        "gpuTypeId": "NVIDIA A40",
        "gpuTypeDisplayName": "A40",
        "displayName": "A40",
        "stockStatus": "High",
        "available": True,
    } in cards
    pooled = [card for pool in shown["serverlessGpuPools"] for card in pool["gpuTypeIds"]]
    assert [each["id"] for each in cards] == pooled
    assert len(shown["myself"]["datacenters"]) == len(shown["dataCenters"])


@pytest.mark.proves("graphql: Query.cpuFlavors", "graphql: CpuFlavor", "graphql: Specifics")
def test_cpu_flavors_are_described(world: World) -> None:
    """Stock is told for instances that exist; prices are in no source."""
    read = """query ($id: String) { cpuFlavors(input: {id: "cpu5c"}) { id groupId groupName
        displayName minVcpu maxVcpu ramMultiplier diskLimitPerVcpu
        specifics(input: {dataCenterId: "EU-RO-1", instanceId: $id})
        { stockStatus securePrice slsPrice } } }"""
    (flavor,) = ask(world, read, id="cpu5c-2-4")["cpuFlavors"]
    assert flavor == {
        "id": "cpu5c",
        "groupId": "cpu5",
        "groupName": "CPU5",
        "displayName": "Compute-Optimized",
        "minVcpu": 2,
        "maxVcpu": 32,
        "ramMultiplier": 2.0,
        "diskLimitPerVcpu": 15,
        "specifics": {"stockStatus": "High", "securePrice": None, "slsPrice": None},
    }
    (flavor,) = ask(world, read, id="cpu3c-2-4")["cpuFlavors"]
    assert flavor["specifics"]["stockStatus"] is None
    assert len(ask(world, "{ cpuFlavors { id } }")["cpuFlavors"]) == 6


# Over HTTP.


@pytest.mark.proves("rule: graphql-validation-errors")
@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{ myself { nothing } }", 'Cannot query field "nothing" on type "User".'),
        (
            'mutation { deleteNetworkVolume(input: {id: "v", name: "it\'s"}) }',
            'Field "name" is not defined by type "DeleteNetworkVolumeInput".',
        ),
        (
            'mutation { secretCreate(input: {name: "a", valu: "b", value: "c"}) { id } }',
            'Field "valu" is not defined by type "SecretCreateInput". Did you mean "value"?',
        ),
        (
            'mutation { podStop(input: {podId: "p"}) }',
            (
                'Field "podStop" of type "Pod" must have a selection of subfields. '
                "Did you mean 'podStop { ... }'?"
            ),
        ),
        (
            "mutation { deleteEndpoint }",
            (
                'Field "deleteEndpoint" argument "id" of type "String!" is required, '
                "but it was not provided."
            ),
        ),
        (
            "mutation { deleteEndpoint(id: [1]) }",
            "String cannot represent a non string value: [1]",
        ),
    ],
)
def test_complaints_are_in_runpods_words(document: str, words: str) -> None:
    """Those of the JavaScript implementation, which clients show and people search for."""
    (error,) = validate(SCHEMA, parse(document))
    assert in_runpods_words(error.message, SCHEMA) == words


def test_a_variables_missing_field_is_named_alone() -> None:
    """As RunPod was seen to name it."""
    document = "mutation ($i: SecretCreateInput!) { secretCreate(input: $i) { id } }"
    result = execute(SCHEMA, parse(document), variable_values={"i": {"name": "a"}})
    assert result.errors is not None
    words = in_runpods_words(result.errors[0].message, SCHEMA)
    assert words.endswith('Field "value" of required type "String!" was not provided.')


async def post(
    world: World,
    document: str,
    *,
    authorized: bool = True,
    introspection: bool = False,
    **body: Any,
) -> httpx.Response:
    """Sends a document to the API alone."""
    api = graphql.GraphQLApi(world.state, SCHEMA, introspection)

    async def answer(request: Request) -> Response:
        return await api.answer(request, authorized=authorized)

    app = Starlette(routes=[Route("/graphql", answer, methods=["POST"])])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
        return await client.post("/graphql", json={"query": document, **body})


@pytest.mark.anyio
@pytest.mark.proves("rule: introspection-off")
@pytest.mark.parametrize(
    "question", ["{ __schema { types { name } } }", '{ __type(name: "User") { name } }']
)
async def test_introspection_is_refused_unless_switched_on(world: World, question: str) -> None:
    """With Apollo's code."""
    refused = await post(world, question)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["extensions"] == {"code": "INTROSPECTION_DISABLED"}
    told = await post(world, question, introspection=True)
    assert "User" in told.text


@pytest.mark.anyio
@pytest.mark.proves("rule: graphql-public-fields")
async def test_the_catalogue_needs_no_key(world: World) -> None:
    """Together with anything else, it does."""
    public = "{ gpuTypes { id } dataCenters { id } __typename }"
    assert (await post(world, public, authorized=False)).status_code == 200
    for private in ("{ cpuFlavors { id } }", "{ gpuTypes { id } myself { id } }"):
        assert (await post(world, private, authorized=False)).status_code == 401


@pytest.mark.anyio
@pytest.mark.proves("rule: graphql-keys")
async def test_without_a_key_the_fields_are_null(world: World) -> None:
    """In the form that was observed; nothing is carried out."""
    document = 'mutation { kept: secretCreate(input: {name: "a", value: "b"}) { id } }'
    refused = await post(world, document, authorized=False)
    assert refused.status_code == 401
    assert refused.json() == {
        "errors": [{"message": "Unauthorized", "path": ["kept"], "extensions": {"code": "RUNPOD"}}],
        "data": {"kept": None},
    }
    assert world.state.account.secrets == {}


@pytest.mark.anyio
@pytest.mark.proves("rule: graphql-business-errors", "rule: template-in-use")
async def test_a_refusal_is_a_success_of_http(world: World) -> None:
    """With RunPod's code; the other fields have their answers."""
    endpoint = world.endpoint()
    name = world.state.control.template_of(endpoint).name
    refused = await post(world, f'mutation {{ deleteTemplate(templateName: "{name}") }}')
    assert refused.status_code == 200
    assert refused.json() == {
        "errors": [
            {
                "message": f"Template is in use by endpoint {endpoint.id} and cannot be deleted",
                "path": ["deleteTemplate"],
                "extensions": {"code": "RUNPOD"},
            }
        ],
        "data": {"deleteTemplate": None},
    }


@pytest.mark.anyio
@pytest.mark.proves("rule: graphql-validation-errors", "rule: template-required-fields")
@pytest.mark.parametrize(
    "missing", ["dockerArgs", "volumeInGb", "containerDiskInGb", "env", "imageName", "name"]
)
async def test_required_fields_are_required(world: World, missing: str) -> None:
    """HTTP 400, and nothing is saved."""
    given = {
        "name": '"t"',
        "imageName": '"i"',
        "dockerArgs": '""',
        "containerDiskInGb": "5",
        "volumeInGb": "0",
        "env": "[]",
    }
    sent = ", ".join(f"{name}: {value}" for name, value in given.items() if name != missing)
    refused = await post(world, f"mutation {{ saveTemplate(input: {{{sent}}}) {{ id }} }}")
    assert refused.status_code == 400
    (error,) = refused.json()["errors"]
    assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert error["message"].startswith(f'Field "SaveTemplateInput.{missing}" of required type "')
    assert error["message"].endswith('" was not provided.')
    assert world.state.control.templates == {}


@pytest.mark.anyio
@pytest.mark.parametrize("body", [{"variables": ["x"]}, {"variables": "x"}, {"operationName": 5}])
async def test_a_body_that_is_none_is_refused(world: World, body: dict[str, Any]) -> None:
    """It is the client's mistake, not the server's."""
    refused = await post(world, "{ myself { id } }", **body)
    assert refused.status_code == 400
    assert "errors" in refused.json()
