"""The firm's own program: two LangChain agents whose models are scripts, with tools of the office."""

import json
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool

from hopward.record import Row
from langchain_hopward import Hopward

from .office import ANSWERS
from .stage import SUBJECT, Stage
from .steps import Plain

Wanted = tuple[tuple[str, dict[str, Any]], ...]
"""Tool calls, one after the other."""


class Scripted(GenericFakeChatModel):
    """A model that says what stands in its script."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "Scripted":
        return self


def script(wanted: Wanted) -> Scripted:
    """A model that asks for these calls, one at a time, whatever comes back."""
    asked = [
        AIMessage(content="", tool_calls=[{"name": name, "args": arguments, "id": f"call_{number}"}])
        for number, (name, arguments) in enumerate(wanted)
    ]
    return Scripted(messages=iter([*asked, AIMessage(content="Done.")]))


class Runs(Plain):
    """The assistant's model asks for `assistant`, the researcher's for `researcher` once it is asked.

    `refused` is the reason of the first call that is refused, and `wants` what would have been done then.
    """

    def __init__(
        self,
        assistant: Wanted,
        researcher: Wanted = (),
        refused: str = "",
        *,
        wants: Wanted = (),
        effects: Wanted = (),
    ) -> None:
        self._assistant, self._researcher, self.refused = assistant, researcher, refused
        self.effects, self.wants = effects, wants

    async def take(self, stage: Stage) -> str:
        hopward = Hopward.open(stage.folder / "hopward.toml", "app")
        try:
            with hopward.task(subject=SUBJECT, workflow="errands") as task:
                stage.task = task
                tools = self._tools(hopward, stage)
                agent = create_agent(script(self._assistant), tools)
                told = agent.invoke({"messages": [("user", "go")]})["messages"]
        finally:
            hopward.guard.close()
        stage.seen += [str(one.content) for one in told if one.type == "tool"]
        refused = [row for row in stage.rows(task=task.id) if _refuses(row)]
        stage.decisions += [row.decision for row in refused if row.kind == "decision"]
        return refused[0].reason if refused else ""

    def _tools(self, hopward: Hopward, stage: Stage) -> list[BaseTool]:
        def done(name: str, **arguments: Any) -> None:
            told = {"tool": f"app/{name}", "arguments": arguments, "task": stage.task.id}
            with (stage.folder / "done.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")

        def payroll() -> str:
            """Read the payroll."""
            done("payroll")
            return str(ANSWERS["docs/payroll"])

        def handbook() -> str:
            """Read the handbook."""
            done("handbook")
            return str(ANSWERS["docs/handbook"])

        def post(text: str) -> str:
            """Post to the board."""
            done("post", text=text)
            return "done"

        def ask(whom: str) -> str:
            """Ask another agent."""
            found = create_agent(script(self._researcher), list(self._inner)).invoke(
                {"messages": [("user", "go")]}
            )
            return str(found["messages"][-2].content)

        tools = hopward.protect([payroll, handbook, post, ask])
        self._inner = tools[:3]
        return tools


def _refuses(row: Row) -> bool:
    return row.kind == "refusal" or (row.kind == "decision" and row.verdict != "permit")
