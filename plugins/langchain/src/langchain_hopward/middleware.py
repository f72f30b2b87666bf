"""The agent middleware: the model is shown what it may call. Imported only where `langchain` is."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langgraph.types import Command

from langchain_hopward.enforcer import Enforcer
from langchain_hopward.pause import Pause
from langchain_hopward.trial import Trial


class HopwardMiddleware(AgentMiddleware[Any, Any, Any]):
    """Hides tools from the model, and makes a refusal a tool message whatever the tool node does with it.

    It decides nothing, also where it interrupts a run for people to answer. Other middleware may change a
    call after this one has seen it; the guarded tool and the handler come after all of them.
    """

    def __init__(
        self, enforcer: Enforcer, server_of: Callable[[object], str], *, interrupts: bool = False
    ) -> None:
        """`server_of` tells the MCP server that a tool is of, empty for a tool of the program.

        `interrupts` says that the run waits where a call does, instead of going on with a refusal.
        """
        super().__init__()
        self._enforcer = enforcer
        self._server_of = server_of
        self._pause = Pause(enforcer) if interrupts else None

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Ask the model with the tools that the chain could be permitted to call."""
        return handler(self._shown(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`."""
        return await handler(self._shown(request))

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Run the tool; a refusal becomes a message for the model.

        Raises `GraphInterrupt` where people are to answer first, and this middleware interrupts.
        """
        trial = Trial(self._enforcer, self._pause, request)
        while trial.goes_on:
            with trial:
                trial.result = handler(trial.request)
        return trial.told

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """As `wrap_tool_call`."""
        trial = Trial(self._enforcer, self._pause, request)
        while trial.goes_on:
            with trial:
                trial.result = await handler(trial.request)
        return trial.told

    def _shown(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        tools: Sequence[BaseTool | dict[str, Any]] = request.tools
        servers = [self._server_of(tool) for tool in tools]
        named: dict[str, list[str]] = {}
        for tool, server in zip(tools, servers, strict=True):
            named.setdefault(server, []).append(_name(tool))
        shown = {server: self._visible(server, names) for server, names in named.items()}
        kept = [tool for tool, server in zip(tools, servers, strict=True) if _name(tool) in shown[server]]
        return request if len(kept) == len(tools) else request.override(tools=kept)

    def _visible(self, server: str, names: list[str]) -> frozenset[str]:
        if server:
            return self._enforcer.visible_behind(server, names)
        return self._enforcer.visible(names)


def _name(tool: BaseTool | dict[str, Any]) -> str:
    """The name a tool is classified under; of a provider-side one, which has none, its type."""
    if isinstance(tool, BaseTool):
        return tool.name
    function: Any = tool.get("function") or {}
    return str(function.get("name") or tool.get("name") or tool.get("type") or "")
