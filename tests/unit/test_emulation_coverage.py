"""docs/make_coverage.py: nothing is claimed without a proof, and no proof is for nothing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Write = Callable[[str], Path]

SCRIPT = Path(__file__).parents[2] / "docs" / "make_coverage.py"


@pytest.fixture(scope="module")
def coverage() -> Iterator[Any]:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("make_coverage", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a module of tests and returns their folder."""

    def written(source: str) -> Path:
        tests = tmp_path / "tests"
        tests.mkdir()
        (tests / "test_it.py").write_text(source)
        return tests

    return written


def test_the_page_is_up_to_date(coverage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code, the rules and the marks as they are now."""
    monkeypatch.setattr(sys, "argv", ["make_coverage.py", "--check"])
    coverage.main()


def test_parameters_may_have_any_name_or_be_left_out_at_the_end(
    coverage: Any, write: Write
) -> None:
    """Unless what is left is the name of something else."""
    names = ("job-api: status/{job_id}", "job-api: batch", "job-api: batch/{batch_id}")
    entries = [coverage.Entry(each, "4.1", "") for each in names]
    tests = write(
        '@pytest.mark.proves("job-api: status", "job-api: batch")\n'
        "def test_a(): ...\n"
        '@pytest.mark.proves("job-api: status/{id}", "job-api: batch/{id}")\n'
        "async def test_b(): ...\n"
    )
    problems: list[str] = []
    proofs = coverage.proofs_of(entries, tests, problems)
    found = {key: [each.name for each in proofs[key]] for key in proofs}
    assert found == dict(zip(names, (["test_a", "test_b"], ["test_a"], ["test_b"]), strict=True))
    assert problems == []


def test_a_module_can_be_a_proof(coverage: Any, write: Write) -> None:
    """By its `pytestmark`."""
    entry = coverage.Entry("rule: x", "own", "")
    tests = write('pytestmark = pytest.mark.proves("rule: x")\n')
    proofs = coverage.proofs_of([entry], tests, [])
    assert proofs == {"rule: x": [coverage.Proof("tests/test_it.py", "test_it")]}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            '@pytest.mark.proves("rule: y")\ndef test_a(): ...\n',
            "tests/test_it.py: test_a proves 'rule: y', which is unknown",
        ),
        (
            'CASES = [pytest.param(1, marks=pytest.mark.proves("rule: x"))]\n',
            "tests/test_it.py: a mark `proves` belongs on a test function or a module",
        ),
    ],
)
def test_a_mark_that_proves_nothing_is_a_problem(
    coverage: Any, write: Write, source: str, problem: str
) -> None:
    """It names no rule, or stands where nobody looks."""
    problems: list[str] = []
    coverage.proofs_of([coverage.Entry("rule: x", "4.1", "")], write(source), problems)
    assert problems == [problem]


@pytest.mark.parametrize(
    ("status", "proven", "words"),
    [
        ("emulated", False, ["rule: x: emulated, but no test proves it"]),
        ("partly", False, ["rule: x: partly, but no test proves it"]),
        ("not", True, ["rule: x: not emulated, yet test_a proves it"]),
        ("perhaps", True, ["rule: x: 'perhaps' is no status"]),
        ("emulated", True, []),
        ("not", False, []),
    ],
)
def test_claims_and_proofs_must_agree(
    coverage: Any, status: str, words: list[str], *, proven: bool
) -> None:
    """In both directions."""
    proofs = {"rule: x": [coverage.Proof("tests/test_it.py", "test_a")]} if proven else {}
    entry = coverage.Entry("rule: x", "4.1", "", status)
    assert list(coverage.contradictions([entry], proofs)) == words


def test_notes_may_weaken_a_claim_and_never_strengthen_it(coverage: Any) -> None:
    """What no code serves stays not emulated, whatever a person wrote."""
    problems: list[str] = []
    served = coverage.Entry("job-api: run", "4.1", "")
    notes = {"job-api: run": {"status": "partly", "note": "half of it"}}
    assert coverage.noted(served, notes, problems).status == "partly"
    assert (notes, problems) == ({}, [])
    coverage.noted(
        coverage.Entry("job-api: logs", "4.1", "", "not"),
        {"job-api: logs": {"status": "emulated"}},
        problems,
    )
    assert problems == ["job-api: logs: emulated in emulation-rules.toml, not in code"]


def test_a_field_that_is_always_null_is_not_counted_as_served(coverage: Any) -> None:
    """Neither is one that is refused; both are named."""
    schema = coverage.graphql.load_schema()
    entry = coverage.type_entry("graphql: Endpoint", schema.type_map["Endpoint"].fields)
    assert (entry.status, entry.what) == ("partly", "34 of 40 fields")
    assert entry.note == (
        "Not emulated: `webhookRequests`. "
        "Null here, always: `aiKey`, `activeBuildid`, `idePodId`, `hubRelease`, `repo`"
    )


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("serverlessDiscount", "partly"),
        ("apiKeys", "not"),
        ("email", "emulated"),
    ],
)
def test_a_root_field_that_is_always_null_is_served_partly(
    coverage: Any, name: str, status: str
) -> None:
    """It answers, and tells nothing."""
    field = coverage.graphql.load_schema().type_map["User"].fields[name]
    assert coverage.root_field_entry(f"graphql: User.{name}", field).status == status
