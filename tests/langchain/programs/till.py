"""A program with a till: tools that pay, look and ask, guarded by a real guard with a real decision log."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import Field

from hopward import Guard
from hopward.clock import Clock
from hopward.model import Task
from hopward.project import create
from hopward.record import Row
from hopward.testing.clock import FixedClock
from langchain_hopward import Hopward

CONFIG = """
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "https://authority.example"

[agents.assistant]
owner = "ana@example.com"
purpose = "Pays what is owed"

[[agents.assistant.ceiling]]
tools = ["app/*"]
actions = ["read", "execute", "pay"]
sensitivity = "internal"
destinations = ["*"]

[servers.app]
in_process = true
resource = "urn:example:app"
credential = {{ by = "context" }}
workflow = "refund"

{tools}
[workflows.refund]
agent = "assistant"
purpose = "Refund one order"
expires_in = 3600
budget = {{ calls = 50, writes = 50 }}

[[workflows.refund.capabilities]]
tools = ["app/*"]
actions = ["read", "execute", "pay"]
sensitivity = "internal"
destinations = ["*"]
"""

TOOL = """
[servers.app.tools.{name}]
action = "{action}"
sensitivity = "internal"
integrity = "trusted"
destination = "{name}"
arguments = {arguments}
"""

ACTIONS = {"pay": "pay", "look": "read", "ask": "execute", "task": "execute", "burn": "delete"}
"""What the tools are. Nothing may be deleted, so `burn` may never be called."""

POLICY = """
@id("within-task")
permit (principal == Hopward::Agent::"assistant", action, resource);

@id("small-amounts-only")
@reason("No more than 100 is paid at once.")
forbid (principal, action == Hopward::Action::"app/pay", resource)
unless { context.arguments has amount && context.arguments.amount <= 100 };
"""

AMOUNT = '{ amount = "integer" }'
SUBJECT = "ines@example.com"


class Scripted(BaseChatModel):
    """A chat model that says what stands in its script, and remembers what it was shown."""

    script: list[AIMessage]
    said: list[AIMessage] = Field(default_factory=list[AIMessage])
    offered: list[list[str]] = Field(default_factory=list[list[str]])
    prompts: list[str] = Field(default_factory=list[str])

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "Scripted":
        self.offered.append([tool.name if isinstance(tool, BaseTool) else str(tool) for tool in tools])
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.prompts += [str(message.content) for message in messages]
        answer = self.script[len(self.said)]
        self.said.append(answer)
        return ChatResult(generations=[ChatGeneration(message=answer)])


def calls(*wanted: tuple[str, dict[str, Any]]) -> AIMessage:
    """The model asks for these tool calls, side by side."""
    listed = [
        {"name": name, "args": args, "id": f"call_{name}_{number}", "type": "tool_call"}
        for number, (name, args) in enumerate(wanted)
    ]
    return AIMessage(content="", tool_calls=listed)


def says(text: str = "done") -> AIMessage:
    """The model ends its turn."""
    return AIMessage(content=text)


def scripted(*steps: AIMessage) -> Scripted:
    """A model with a script; it ends its last turn by itself."""
    return Scripted(script=[*steps, says(), says(), says()])


USER = {"messages": [("user", "go")]}


def install(folder: Path) -> None:
    """Make a folder the installation that a till needs."""
    tools = [
        TOOL.format(name=name, action=action, arguments=AMOUNT if name == "pay" else "{}")
        for name, action in ACTIONS.items()
    ]
    (folder / "hopward.toml").write_text(CONFIG.format(tools="".join(tools)))
    (folder / "policies").mkdir()
    (folder / "policies" / "till.cedar").write_text(POLICY)
    create(folder)


class Till:
    """The tools, what they have done, and the guard of it all."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.clock = clock or FixedClock()
        self.guard = Guard.open(folder / "hopward.toml", clock=self.clock)
        self.hopward = Hopward(self.guard)
        self.paid: list[int] = []
        self.log = folder / ".hopward" / "decisions.db"

    def task(self) -> AbstractContextManager[Task]:
        return self.hopward.task(subject=SUBJECT)

    def pay(self, amount: int = 500) -> str:
        """Pay an amount."""
        self.paid.append(amount)
        return f"paid {amount}"

    async def pay_later(self, amount: int = 500) -> str:
        """Pay an amount."""
        return self.pay(amount)

    def sync_tool(self) -> StructuredTool:
        return StructuredTool.from_function(self.pay, name="pay")

    def async_tool(self) -> StructuredTool:
        return StructuredTool.from_function(coroutine=self.pay_later, name="pay")

    def tool(self, name: str, body: Callable[[], Any]) -> StructuredTool:
        """A tool without arguments that does what `body` does."""
        return StructuredTool.from_function(lambda: body(), name=name, description=name)

    def rows(self, kind: str) -> list[Row]:
        """The rows of one kind in the decision log, oldest first."""
        return [row for row in reversed(list(self.guard.ledger.rows())) if row.kind == kind]

    def verdicts(self, tool: str = "pay") -> list[str]:
        return [row.verdict for row in self.rows("decision") if row.tool == tool]

    def outcomes(self) -> list[str]:
        return [row.record["outcome"]["status"] for row in self.rows("outcome")]
