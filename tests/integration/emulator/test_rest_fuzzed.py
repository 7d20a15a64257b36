"""REST v2 against requests that schemathesis makes from RunPod's published contract.

Whatever comes, the answer is one that the contract allows; requests that keep the contract are
never refused in its name, and those that break it are. They are the same in every run.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

from runpodctl_py.emulator.config import Simulation
from runpodctl_py.testing import LocalRunPodServer
from tests.integration.emulator.contract import DOCUMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # An operation's label and schemathesis' mode, to requests and answers.
    Answers = Callable[[str, str], list[tuple[Any, Any]]]

ENDLESS = "/v2/serverless/{id}/workers/{workerId}/logs"
NOT_EMULATED = ("/v2/pods", "/v2/clusters", "/v2/registries/delegations")
EXAMPLES = settings(
    max_examples=4,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def emulated() -> dict[str, Any]:
    """The contract of what is emulated and ends; its keys are not for schemathesis to make up."""
    document = copy.deepcopy(DOCUMENT)
    for path in list(document["paths"]):
        if path.startswith(NOT_EMULATED) or path == ENDLESS:
            del document["paths"][path]
    # RunPod's own examples have "{job_id}" in these, which no URI may have.
    for url in document["components"]["schemas"]["QueueBasedRequestUrls"]["properties"].values():
        del url["format"]
    del document["security"], document["components"]["securitySchemes"]
    return document


OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in emulated()["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}
CAN_BE_BROKEN = [
    label for label, each in OPERATIONS.items() if "requestBody" in each or each.get("parameters")
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunPodServer]:
    """A local RunPod whose workers are no processes."""
    folder = tmp_path_factory.mktemp("local")
    with LocalRunPodServer(folder, simulation=Simulation()) as server:
        yield server


@pytest.fixture(scope="module")
def answers(server: LocalRunPodServer) -> Answers:
    """Makes requests of an operation; each answer is held against the contract.

    schemathesis is imported here, because that takes longer than collecting all other tests.
    """
    import schemathesis
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    found = schemathesis.openapi.from_dict(emulated()).get_all_operations()
    operations = {each.ok().label: each.ok() for each in found}
    headers = {"Authorization": f"Bearer {server.token}"}

    def ask_all(label: str, mode: str) -> list[tuple[Any, Any]]:
        seen: list[tuple[Any, Any]] = []

        @EXAMPLES
        @given(case=operations[label].as_strategy(generation_mode=GenerationMode(mode)))
        def ask(case: Any) -> None:
            # An empty text is an empty list to some, and a list of an empty text to others.
            assume("" not in case.query.values())
            answer = case.call(base_url=server.url, headers=headers)
            # RunPod refuses some requests that its contract allows; tests look at that.
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])
            seen.append((case, answer))

        ask()
        return seen

    return ask_all


@pytest.mark.proves("rule: rest-contract")
@pytest.mark.parametrize("label", OPERATIONS)
def test_what_keeps_the_contract_is_not_refused_in_its_name(answers: Answers, label: str) -> None:
    """A rule may still refuse it, and what it refers to may not exist."""
    for case, answer in answers(label, "positive"):
        refused = answer.status_code == 422 and "errors" in answer.json()
        assert not refused, f"{case.query} {case.body} {answer.json()}"


@pytest.mark.proves("rule: rest-contract", "rule: rest-unknown-properties")
@pytest.mark.parametrize("label", CAN_BE_BROKEN)
def test_what_breaks_the_contract_is_refused(answers: Answers, label: str) -> None:
    """As not valid, as no JSON, or because there is no such resource.

    Each answer is judged by schemathesis; parameters that nobody knows may be ignored.
    """
    assert {each.status_code for _, each in answers(label, "negative")} & {400, 404, 422}
