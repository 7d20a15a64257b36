"""Write docs/emulation-coverage.md: what the local RunPod emulates, and which test proves it.

python docs/make_coverage.py [--check]

Operations are read from the code that serves them, so that none can be claimed; rules, and what
RunPod offers and the emulator does not, stand in docs/emulation-rules.toml. Proofs are the marks
`@pytest.mark.proves(ID, ...)` on test functions or modules. An id is one of:

    job-api: stream/{job_id}         a path of the job API, the batch API or the OpenAI route
    worker-api: job-take/{worker_id} a path of the worker protocol
    graphql: Mutation.saveTemplate   a root field, or one of `myself`: User.endpoints
    graphql: PodTemplate             a type: its fields can be read
    rest: GET /v2/serverless/{id}    an operation of the published contract
    rule: retention                  a rule of docs/emulation-rules.toml

How a path's parameter is called does not matter, and parameters at its end may be left out where
that is not the name of something else: `job-api: stream`, `worker-api: job-done`.

--check fails if the page is out of date, and both forms fail if a mark names an unknown id, if
something is emulated without a proof, or if something is not emulated and has one.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphql import GraphQLObjectType

from runpodctl_py.emulator.graphql import answering as graphql
from runpodctl_py.emulator.graphql.fields import nothing
from runpodctl_py.emulator.jobs import api as job_api
from runpodctl_py.emulator.jobs import batch_api, openai_api
from runpodctl_py.emulator.rest import api as rest
from runpodctl_py.emulator.workers import api as worker_api

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "emulation-coverage.md"
RULES = ROOT / "docs" / "emulation-rules.toml"
CONTRACT = ROOT / "tests" / "data" / "openapi-v2.json"
HTTP_METHODS = ("get", "post", "put", "patch", "delete")
SHOWN_PROOFS = 3
STATUSES = ("emulated", "partly", "not")

INTRODUCTION = """# What the local RunPod emulates

Made by `python docs/make_coverage.py` from the code, from `emulation-rules.toml` and from the
marks on the tests; do not edit it by hand. CI fails when it is out of date, when something counts
as emulated and no test proves it, or when a test proves something that this page denies.

*Emulated* means: a client or a worker of RunPod cannot tell the difference in what the line says,
and the tests named there show it. *Partly*: the note says what is missing. *Not*: it answers with
an error that says so, or not at all. A field that is null here, always, does not count as served.
Numbers such as 4.3 are the sections of our notes on RunPod's API, which were taken from its
documents, its clients and its answers.
"""

Proofs = dict[str, list["Proof"]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation or rule of RunPod's API."""

    id: str
    section: str
    what: str
    status: str = "emulated"
    note: str = ""

    @property
    def name(self) -> str:
        """The id without the kind of thing it is."""
        return self.id.partition(": ")[2]


@dataclass(frozen=True, slots=True, order=True)
class Proof:
    """A test function, or a module of tests."""

    path: str
    name: str

    def __str__(self) -> str:
        return f"[{self.name.removeprefix('test_')}](../{self.path})"


@dataclass(frozen=True, slots=True)
class Table:
    """What one API offers, or what rules it keeps."""

    title: str
    entries: Sequence[Entry]


def table_entries(kind: str, section: str, api: type, operations: Mapping[str, Any]) -> list[Entry]:
    """Return the operations of an API that has a table of paths."""
    return [
        Entry(
            f"{kind}: {path}",
            section,
            f"{', '.join(methods)}: {first_sentence(getattr(api, operation).__doc__)}",
        )
        for path, (operation, methods) in operations.items()
    ]


def first_sentence(docstring: str | None) -> str:
    """Return what an operation does, without the method and path that its name tells already."""
    line = (docstring or "").strip().partition("\n")[0].rstrip(".")
    said = re.sub(r"^(?:GET|POST|PUT|PATCH|DELETE)[^:]*:\s*", "", line)
    return said if said == line or said[:2].isupper() else said[:1].lower() + said[1:]


def graphql_entries() -> Iterator[Entry]:
    """Yield the root fields, what `myself` has, and the types, of the schema as it is wired."""
    kinds = graphql.load_schema().type_map
    objects = {
        name: kind
        for name, kind in kinds.items()
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__")
    }
    for root in ("Query", "Mutation", "User"):
        for name, field in objects.pop(root).fields.items():
            yield root_field_entry(f"graphql: {root}.{name}", field)
    for name, kind in objects.items():
        yield type_entry(f"graphql: {name}", kind.fields)


def root_field_entry(entry_id: str, field: Any) -> Entry:
    """Return whether a root field, or one of `myself`, is served."""
    if is_null(field):
        return Entry(entry_id, "1", signature(field), "partly", "Null here, always")
    return Entry(entry_id, "1", signature(field), "emulated" if is_served(field) else "not")


def type_entry(entry_id: str, fields: Mapping[str, Any]) -> Entry:
    """Return how many of a type's fields tell something, and the names of the others."""
    refused = [name for name, field in fields.items() if not is_served(field)]
    empty = [name for name, field in fields.items() if is_null(field)]
    told = len(fields) - len(refused) - len(empty)
    status = "emulated" if told == len(fields) else "partly" if told else "not"
    named = {"Not emulated": refused, "Null here, always": empty}
    notes = [f"{words}: {quoted(names)}" for words, names in named.items() if names]
    return Entry(entry_id, "1", f"{told} of {len(fields)} fields", status, ". ".join(notes))


def quoted(names: Iterable[str]) -> str:
    """Return names as a list in code style."""
    return ", ".join(f"`{each}`" for each in names)


def signature(field: Any) -> str:
    """Return what a root field takes and gives."""
    takes = ", ".join(f"{name}: {argument.type}" for name, argument in field.args.items())
    return f"`({takes})` gives `{field.type}`" if takes else f"gives `{field.type}`"


def is_null(field: Any) -> bool:
    """Whether a field answers null whatever it is asked of."""
    return field.resolve is nothing


def is_served(field: Any) -> bool:
    """Whether asking for a field gives more than "not emulated"."""
    resolver = field.resolve
    return not (isinstance(resolver, partial) and resolver.func.__name__ == "_not_emulated")


def rest_entries() -> Iterator[Entry]:
    """Yield the operations of the published contract, served or not, and later ones."""
    served = {f"{method} {path}" for path, methods in rest.OPERATIONS.items() for method in methods}
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))["paths"]
    for path, operations in contract.items():
        for method in HTTP_METHODS:
            if method in operations:
                name = f"{method.upper()} {path}"
                status = "emulated" if name in served else "not"
                served.discard(name)
                yield Entry(f"rest: {name}", "3.2", operations[method].get("summary", ""), status)
    for name in sorted(served):
        yield Entry(f"rest: {name}", "3.3", "Newer than the published contract")
    for path in rest.NOT_EMULATED:
        if not any(each.startswith(path) for each in contract):
            yield Entry(f"rest: {path}", "3.3", "Newer than the published contract", "not")


def noted(entry: Entry, notes: dict[str, dict[str, str]], problems: list[str]) -> Entry:
    """Return an entry with what a person noted about it; takes the note."""
    note = notes.pop(entry.id, {})
    claimed = note.get("status", entry.status)
    if claimed != entry.status and (entry.status, claimed) != ("emulated", "partly"):
        problems.append(f"{entry.id}: {claimed} in emulation-rules.toml, {entry.status} in code")
    words = ". ".join(each.rstrip(".") for each in (entry.note, note.get("note", "")) if each)
    return replace(entry, **{**note, "note": words})


def tables(problems: list[str]) -> list[Table]:
    """Return everything, by API."""
    written = tomllib.loads(RULES.read_text(encoding="utf-8"))
    notes: dict[str, dict[str, str]] = written["operation"]
    rules = [Entry(f"rule: {name}", **fields) for name, fields in written["rule"].items()]
    served = {
        "graphql": list(graphql_entries()),
        "rest": list(rest_entries()),
        "job-api": [
            *table_entries("job-api", "4.1", job_api.JobApi, job_api.OPERATIONS),
            *table_entries("job-api", "4.1", openai_api.OpenAiApi, openai_api.OPERATIONS),
            *table_entries("job-api", "4.8", batch_api.BatchApi, batch_api.OPERATIONS),
        ],
        "worker-api": table_entries(
            "worker-api", "5.2", worker_api.WorkerApi, worker_api.OPERATIONS
        ),
    }
    for kind, entries in served.items():
        entries[:] = [noted(each, notes, problems) for each in entries]
        # What is left of the notes describes what no code knows of.
        absent = [name for name in notes if name.startswith(f"{kind}: ")]
        entries += [Entry(name, **notes.pop(name)) for name in absent]
        problems += [
            f"{each.id}: emulation-rules.toml says {each.status}, and no code serves it"
            for each in entries
            if each.id in absent and each.status != "not"
        ]
    problems += [f"emulation-rules.toml: what is {name!r}?" for name in notes]
    return [
        Table("Job API", [*served["job-api"], *of_section("4", rules)]),
        Table("Worker protocol", [*served["worker-api"], *of_section("5", rules)]),
        Table("GraphQL", [*served["graphql"], *of_section("1", rules)]),
        Table("REST v2", [*served["rest"], *of_section("3", rules)]),
        Table("What only the emulator has", of_section("own", rules)),
    ]


def of_section(chapter: str, rules: Iterable[Entry]) -> list[Entry]:
    """Return the rules of one chapter of the reference, in its order."""
    chosen = [each for each in rules if each.section.partition(".")[0] == chapter]
    return sorted(chosen, key=lambda each: [int(part) for part in each.section.split(".")[1:]])


def canonical(entry_id: str) -> str:
    """Return an id in which the names of path parameters do not matter."""
    return re.sub(r"\{\w+(?::\w+)?\}", "{}", entry_id)


def marks(tests: Path, problems: list[str]) -> Iterator[tuple[str, Proof]]:
    """Yield what tests say they prove, from their source; note marks that nobody would find."""
    for path in sorted(tests.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name, counted = path.relative_to(tests.parent).as_posix(), 0
        for node in ast.walk(tree):
            for mark in marks_of(node):
                counted += 1
                proof = Proof(name, getattr(node, "name", path.stem))
                yield from ((ast.literal_eval(each), proof) for each in mark.args)
        if counted != sum(map(is_mark, ast.walk(tree))):
            problems.append(f"{name}: a mark `proves` belongs on a test function or a module")


def marks_of(node: ast.AST) -> Iterator[ast.Call]:
    """Yield the marks of a test function, or of a module: `pytestmark = ...`."""
    marked: list[ast.expr] = []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        marked = node.decorator_list
    elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
        marked = [node.value]
    yield from (each for each in marked if isinstance(each, ast.Call) and is_mark(each))


def is_mark(node: ast.AST) -> bool:
    """Whether this is `pytest.mark.proves(...)`."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.proves"


def proofs_of(entries: Iterable[Entry], tests: Path, problems: list[str]) -> Proofs:
    """Return the tests of each id, and note marks that name no entry."""
    known = {canonical(each.id): each.id for each in entries}
    for full, entry_id in list(known.items()):
        known.setdefault(re.sub(r"(?:/\{\})+$", "", full), entry_id)
    proofs: Proofs = defaultdict(list)
    for marked, proof in marks(tests, problems):
        if (proven := known.get(canonical(marked))) is None:
            problems.append(f"{proof.path}: {proof.name} proves {marked!r}, which is unknown")
        else:
            proofs[proven].append(proof)
    return proofs


def contradictions(entries: Iterable[Entry], proofs: Proofs) -> Iterator[str]:
    """Yield what is claimed without a proof, or denied in spite of one."""
    for entry in entries:
        proven = entry.id in proofs
        if entry.status not in STATUSES:
            yield f"{entry.id}: {entry.status!r} is no status"
        elif entry.status == "not" and proven:
            yield f"{entry.id}: not emulated, yet {proofs[entry.id][0].name} proves it"
        elif entry.status != "not" and not proven:
            yield f"{entry.id}: {entry.status}, but no test proves it"


def page(shown: Sequence[Table], proofs: Proofs) -> str:
    """Return the whole document."""
    lines = [INTRODUCTION, "| | emulated | partly | not |", "|---|---|---|---|"]
    for table in shown:
        counted = Counter(each.status for each in table.entries)
        counts = " | ".join(str(counted[status]) for status in STATUSES)
        lines.append(f"| [{table.title}](#{anchor(table.title)}) | {counts} |")
    lines += ["", "What is missing, by name; the tables say more:", ""]
    for table in shown:
        for status in ("partly", "not"):
            names = [f"`{each.name}`" for each in table.entries if each.status == status]
            if names:
                lines.append(f"- {table.title}, {status}: {', '.join(names)}")
    for table in shown:
        lines += ["", f"## {table.title}", "", "| | | what | proven by |", "|---|---|---|---|"]
        lines += [row(entry, proofs) for entry in table.entries]
    return "\n".join(lines) + "\n"


def anchor(title: str) -> str:
    """Return the fragment under which Markdown viewers find a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def row(entry: Entry, proofs: Proofs) -> str:
    """Return one line of a table."""
    path = entry.name.replace(":path}", "}")
    is_rule = entry.id.startswith("rule: ")
    name = f"{entry.section} {entry.name}".removeprefix("own ") if is_rule else f"`{path}`"
    what = ". ".join(each.rstrip(".") for each in (entry.what, entry.note) if each)
    tests = sorted(set(proofs.get(entry.id, ())))
    shown = [str(each) for each in tests[:SHOWN_PROOFS]]
    if len(tests) > SHOWN_PROOFS:
        shown.append(f"and {len(tests) - SHOWN_PROOFS} more")
    return f"| {name} | {entry.status} | {what.replace('|', chr(92) + '|')} | {', '.join(shown)} |"


def main() -> None:
    """Write the page, or check it."""
    problems: list[str] = []
    shown = tables(problems)
    entries = [entry for table in shown for entry in table.entries]
    proofs = proofs_of(entries, ROOT / "tests", problems)
    problems += contradictions(entries, proofs)
    if problems:
        sys.exit("\n".join(problems))
    text = page(shown, proofs)
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit("docs/emulation-coverage.md is out of date: python docs/make_coverage.py")


if __name__ == "__main__":
    main()
