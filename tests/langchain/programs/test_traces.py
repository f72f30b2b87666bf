"""What tracers see: the id of the decision about each tool call, and no secret."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from langchain_hopward import current_credential

from .till import USER, Till, calls, scripted


class Keeping(BaseTracer):
    """Keeps the runs of tools once they have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "handler"])
def test_the_metadata_of_a_tools_run_in_an_agent_names_its_decision(till: Till, protected: bool) -> None:
    till.hopward.install()
    tool: Any = till.sync_tool()
    if protected:
        (tool,) = till.hopward.protect([tool])
    keeping = Keeping()
    script = scripted(calls(("pay", {"amount": 5})), calls(("pay", {"amount": 999})))
    with till.task():
        create_agent(script, [tool]).invoke(USER, {"callbacks": [keeping]})
    told = [run.metadata.get("hopward_decision") for run in _tools(keeping.runs)]
    decided = [row.decision for row in till.rows("decision")]
    assert told == (decided if protected else decided[:1] + told[1:])


def _tools(runs: list[Run]) -> list[Run]:
    """The runs of tools below these, in order."""
    found: list[Run] = []
    for run in runs:
        found += [run] if run.run_type == "tool" else []
        found += _tools(run.child_runs)
    return found


def test_no_trace_holds_a_credential(till: Till) -> None:
    tokens: list[str] = []

    def ask() -> str:
        tokens.append(current_credential())
        return "asked"

    (tool,) = till.hopward.install().protect([till.tool("ask", ask)])
    keeping = Keeping()
    with till.task():
        tool.invoke({}, {"callbacks": [keeping]})
    (run,) = keeping.runs
    assert tokens[0] not in repr(run)
