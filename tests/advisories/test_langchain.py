"""How LangChain programs were broken, each tried on ours.

The rows of the advisories page this covers stand in the docstrings, with their published ids.
"""

import ast
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import StructuredTool
from programs.till import USER, Till, calls, scripted

import hopward
import langchain_hopward

ANY = {"type": "object", "properties": {"note": {}}, "required": ["note"]}
OBJECT = {"lc": 1, "type": "constructor", "id": ["langchain", "chat_models", "X"], "kwargs": {"k": 1}}
SECRET = {"lc": 1, "type": "secret", "id": ["HOME"]}
UNPICKLING = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "yaml", "langchain_core.load"}


def noting(till: Till, protected: bool, got: list[Any]) -> Any:
    """A tool that keeps what it was called with."""
    made = StructuredTool.from_function(
        lambda note: got.append(note), name="look", description="look", args_schema=ANY
    )
    till.hopward.install()
    return till.hopward.protect([made])[0] if protected else made


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "installed"])
def test_an_argument_that_looks_like_a_serialized_object_stays_data(till: Till, protected: bool) -> None:
    """Row 41: CVE-2025-68664 and others (langchain-core, LangGraph checkpoints)."""
    got: list[Any] = []
    tool = noting(till, protected, got)
    model = scripted(calls(("look", {"note": OBJECT})), calls(("look", {"note": [SECRET]})))
    with till.task():
        create_agent(model, [tool]).invoke(USER)
    assert got == [OBJECT, [SECRET]]
    logged = [row.record["call"]["arguments"]["note"] for row in till.rows("decision")]
    assert logged == [OBJECT, [SECRET]]


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "installed"])
def test_half_a_surrogate_pair_among_the_arguments_is_refused(till: Till, protected: bool) -> None:
    """Row 41: what the log cannot carry as it is must not be called with."""
    got: list[Any] = []
    with till.task(), pytest.raises(PermissionError):
        noting(till, protected, got).invoke({"note": "\ud800"})
    assert got == []


def test_the_decision_log_never_unpickles() -> None:
    """Row 41: nothing that is shipped can build objects from stored bytes."""
    found: set[str] = set()
    for package in (hopward, langchain_hopward):
        for path in Path(str(package.__file__)).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                match node:
                    case ast.Import(names=names):
                        found |= {name.name for name in names}
                    case ast.ImportFrom(module=str(name)):
                        found.add(name)
                    case _:
                        pass
    assert {name for name in found if any(f"{name}.".startswith(f"{bad}.") for bad in UNPICKLING)} == set()
