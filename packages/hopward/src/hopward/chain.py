"""What a chain's scope reaches. A scope is a set of `SERVER/TOOL` names or prefixes ending in `*`.

Beside tools it holds `SERVER/method:*` for every server it has tools at: the right to speak the protocol
with that server (`initialize`, `tools/list`, ...), which calls nothing.
"""

from collections.abc import Iterable

from hopward.model import Capability, Chain, Task
from hopward.pattern import matches_any

METHOD = "method:"
"""What a request that calls nothing is named by, before its MCP method, where a tool would stand."""

REQUEST = "request:"
"""What a server asks of its client is named by, before its MCP method, where a tool would stand."""


def reaches(scope: tuple[str, ...], name: str) -> bool:
    """Whether one of the scope's entries is this `SERVER/TOOL` or a prefix pattern of it."""
    return matches_any(scope, name)


def entered(task: Task) -> Chain:
    """The chain of a task's own agent, opened in this process: subject, then that agent."""
    return Chain(
        task=task.id,
        subject=task.subject,
        actors=(task.agent,),
        issued_at=task.opened_at,
        expires_at=task.expires_at,
        scope=scope_of(task.capabilities),
    )


def scope_of(capabilities: Iterable[Capability]) -> tuple[str, ...]:
    """What capabilities reach: their tools, and the protocol with every server they have tools at."""
    tools = {tool for granted in capabilities for tool in granted.tools}
    methods = {f"{tool.partition('/')[0]}/{METHOD}*" for tool in tools if "/" in tool}
    return tuple(sorted(tools | methods))
