"""What the documentation takes from the code is as the code is now; `make docs` brings it up to date."""

import json
import tomllib
from typing import Any

import jsonschema
import msgspec
import pytest

from hopward.canonical import canonical, digest
from hopward.constraint import Equals
from hopward.model import Budget, Decision, Delegation, Narrowing, Outcome, ToolCall, Usage, Verdict, plain
from hopward.testing.samples import a_chain, a_hop, a_revocation, a_task, an_agent

from . import command_pages, schemas, settings_tables
from .generate import PAGES
from .markdown import ROOT, page
from .project import EXAMPLE

STALE = "out of date: make docs"
VERDICT = Verdict(name="permit", reason="permitted", sentence="Permitted.")
DECISION = Decision(
    id="dec_1",
    at=1,
    verdict=VERDICT,
    call_digest=digest({}),
    server="desk",
    tool="read_ticket",
    chain=a_chain(),
)
SAMPLES = {
    "agent": an_agent(),
    "capability": a_task().capabilities[0],
    "chain": a_chain(),
    "decision": DECISION,
    "delegation": Delegation(decision=DECISION, chain=a_chain()),
    "hop": a_hop(),
    "narrowing": Narrowing(
        purpose="read ticket 7",
        capabilities=a_task().capabilities,
        budget=Budget(calls=3, writes=0),
        expires_in=600,
    ),
    "outcome": Outcome(status="ok", duration=1),
    "revocation": a_revocation("task", "task_1"),
    "task": a_task(),
    "usage": Usage(calls=1, writes=0),
    "verdict": VERDICT,
}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_that_is_taken_from_the_code_is_current(path: Any) -> None:
    text = path.read_text("utf-8")
    assert PAGES[path](text) == text, STALE


def test_every_key_of_the_configuration_is_on_the_page_with_a_meaning() -> None:
    shown = settings_tables.shown(page("docs/reference/configuration.md").text)
    assert shown.keys() == settings_tables.STRUCTS.keys()
    assert [f"{name} {row[0]}" for name, rows in shown.items() for row in rows if not row[3]] == []


def test_every_command_is_on_the_page() -> None:
    text = page("docs/reference/cli.md").text
    assert [name for name, _, _ in command_pages.commands() if f" {name}\n" not in text] == []


def test_the_schema_files_are_current() -> None:
    written = {path.name: path.read_text("utf-8") for path in schemas.FOLDER.glob("*.json")}
    assert written == schemas.schemas(), STALE


def test_the_call_that_is_exported_has_the_fields_of_the_real_one() -> None:
    exported, real = schemas.CALL(server="s", tool="t"), ToolCall(server="s", tool="t")
    assert msgspec.structs.asdict(exported) == msgspec.structs.asdict(real)
    assert [f.name for f in msgspec.structs.fields(exported)] == [
        f.name for f in msgspec.structs.fields(real)
    ]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_value_as_it_is_stored_is_of_its_schema_and_one_with_another_member_is_not(name: str) -> None:
    value = stored(SAMPLES[name])
    jsonschema.validate(value, schema(name))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value | {"another": 1}, schema(name))


def test_every_constraint_is_of_the_schema_of_a_capability() -> None:
    capability = stored(msgspec.structs.replace(SAMPLES["capability"], constraints={"x": (Equals("y"),)}))
    assert capability["constraints"] == {"x": [{"kind": "equals", "value": "y"}]}
    jsonschema.validate(capability, schema("capability"))


def test_the_configuration_of_the_example_is_of_the_schema_of_hopward_toml() -> None:
    document = tomllib.loads((EXAMPLE / "hopward.toml").read_text("utf-8"))
    jsonschema.validate(document, schema("settings"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"polcies": "x"}, schema("settings"))


def stored(value: Any) -> Any:
    """A value as JSON has it."""
    return json.loads(canonical(plain(value)))


def schema(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "shared" / "schema" / f"{name}.json").read_text("utf-8"))


def test_every_schema_and_vector_file_is_named_by_the_page_about_them() -> None:
    targets = {target for _, target in page("shared/README.md").links}
    shared = ROOT / "shared"
    files = [*shared.glob("schema/*.json"), *shared.glob("vectors/*.json")]
    assert {str(path.relative_to(shared)) for path in files} - targets == set()
