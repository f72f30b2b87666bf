"""A chat model that follows a script, so that the examples run offline. Put yours in its place."""

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult


class Scripted(BaseChatModel):
    """Says one line of its script at each turn."""

    script: list[AIMessage]
    turn: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "Scripted":
        """It has its script, whatever the tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        answer = self.script[self.turn]
        self.turn += 1
        return ChatResult(generations=[ChatGeneration(message=answer)])


def scripted(*steps: AIMessage | str) -> Scripted:
    """A model that takes these steps: calls of tools, and texts that end a turn."""
    return Scripted(
        script=[step if isinstance(step, AIMessage) else AIMessage(content=step) for step in steps]
    )


def wants(tool: str, **arguments: Any) -> AIMessage:
    """The model asks for a call of a tool."""
    call = {"name": tool, "args": arguments, "id": f"call_{tool}", "type": "tool_call"}
    return AIMessage(content="", tool_calls=[call])
