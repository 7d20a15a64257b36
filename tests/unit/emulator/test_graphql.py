"""The schema, and how it is wired; the HTTP side is tested against a running emulator."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import GraphQLObjectType, build_schema, execute, parse, validate

from runpodctl_py.emulator import graphql
from runpodctl_py.emulator.model import snake_case

SDL = build_schema(Path(graphql.__file__).with_name("schema.graphql").read_text("utf-8"))

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
FLASH_AND_TEST_RUNNER = """
mutation Save($t: SaveTemplateInput, $e: EndpointInput!, $id: String!) {
saveTemplate(input: $t) { id } saveEndpoint(input: $e) { id aiKey } deleteEndpoint(id: $id)
deleteTemplate(templateName: $id) }
"""


@pytest.mark.parametrize(
    "document", [PYPI_SAVE_TEMPLATE, PYPI_SAVE_ENDPOINT, FLASH_AND_TEST_RUNNER]
)
def test_official_documents_are_valid(document: str) -> None:
    """Word for word as official clients send them."""
    assert validate(SDL, parse(document)) == []


def test_every_resolver_has_its_field() -> None:
    """A resolver whose field is misspelt would never run."""
    for type_name, resolvers in graphql.RESOLVERS.items():
        kind = SDL.type_map[type_name]
        assert isinstance(kind, GraphQLObjectType)
        assert set(resolvers) <= set(kind.fields)


def test_every_mutation_and_query_is_served() -> None:
    """The roots have no field that is only promised."""
    for name in ("Query", "Mutation"):
        kind = SDL.type_map[name]
        assert isinstance(kind, GraphQLObjectType)
        assert set(kind.fields) == set(graphql.RESOLVERS[name])


def test_what_is_not_served_says_so() -> None:
    """It never answers null."""
    result = execute(graphql.load_schema(), parse("{ myself { id clientBalance } }"))
    assert result.errors is not None
    assert [each.message for each in result.errors] == ["not emulated: User.clientBalance"]
    assert result.data == {"myself": {"id": "user_local", "clientBalance": None}}


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
