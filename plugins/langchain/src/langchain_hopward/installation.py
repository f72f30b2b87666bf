"""`Hopward`: one guard for the tools of this process."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, TypeVar

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import BaseTool
from langchain_core.tracers import context

from hopward import ConfigError, Guard
from langchain_hopward.carriage import Carriage
from langchain_hopward.connection import connection
from langchain_hopward.enforcer import Enforcer
from langchain_hopward.handler import HopwardHandler
from langchain_hopward.protection import Protection
from langchain_hopward.served import served
from langchain_hopward.task import ResumedTask, TaskScope

G = TypeVar("G")

_MANY: Any = Iterable
_ONE: Any = (BaseTool, str, Mapping)


class Hopward:
    """Guards the tools of one `[servers.NAME]` with `in_process = true`.

    `guard` is the core's own: revocation, tasks and the decision log are there.
    """

    def __init__(self, guard: Guard, server: str = "") -> None:
        """Raises `ConfigError` unless `server`, or the only one there is, has its tools in this process."""
        self.guard = guard
        self._enforcer = Enforcer(guard, _server(guard, server))
        self._handler = HopwardHandler(self._enforcer)
        self._protection = Protection(self._enforcer, self.server, self._enforcer.body)
        self._carried: dict[str, Protection] = {}
        self._hook: ContextVar[BaseCallbackHandler | None] | None = None

    @classmethod
    def open(cls, path: str | Path, server: str = "") -> "Hopward":
        """The guard of a `hopward.toml`, for the tools of `[servers.SERVER]`.

        Raises `ConfigError` listing every mistake, and `LedgerError` when the decision log cannot be opened.
        """
        return cls(Guard.open(path), server)

    @property
    def server(self) -> str:
        """The `[servers.NAME]` that the tools are classified under."""
        return self._enforcer.server

    def install(self) -> "Hopward":
        """Have the handler see every run in this process from now on, whoever starts it.

        From then on a tool that is called outside a task is refused, and so is one without classification.
        There is no way back: what enforces is not switched off. Raises `ConfigError` where another `Hopward`
        is installed.
        """
        if self._hook is None:
            if any(isinstance(one, HopwardHandler) for one in _installed()):
                raise ConfigError(
                    "Another Hopward is installed in this process. Both would decide every call, and each "
                    "refuse what is called in a task of the other's guard.",
                    advice="Install one, and open every task with it.",
                )
            self._hook = ContextVar("hopward_handler", default=self._handler)
            context.register_configure_hook(self._hook, inheritable=True)
        return self

    def handler(self) -> HopwardHandler:
        """The handler, for `config={"callbacks": [...]}`. Always the same one: added twice, it acts once."""
        return self._handler

    def protect(self, tools: Iterable[BaseTool | Callable[..., Any]], *, server: str = "") -> list[BaseTool]:
        """Guarded copies of tools, in their order. Drop the originals: those still run unguarded.

        With `server`, the tools are those of an MCP server behind the guarded proxy: each call carries the
        chain of its agent there, and the proxy decides. It is refused where the chain cannot be carried.

        Raises `TypeError` for what cannot be guarded: provider-side tools, classes with their own `invoke`,
        generator functions.
        """
        # A tool is iterable, as any model of pydantic: over its fields.
        if not isinstance(tools, _MANY) or isinstance(tools, _ONE):
            raise TypeError("protect takes a list of tools; write protect([...])")
        protection = self._carrying(server) if server else self._protection
        return [protection.guarded(one) for one in tools]

    def middleware(self, *, approvals: Literal["refuse", "interrupt"] = "refuse") -> Any:
        """A `langchain` agent middleware that hides from the model what the chain may not call.

        It enforces nothing: the guarded tools and the handler decide, last. What becomes of a call that
        waits for people: with `approvals="refuse"`, the model reads the id of the approval, and the run goes
        on; with `"interrupt"`, the run waits, and is resumed with what `answer` returns. Needs `langchain`.
        Raises `ValueError` for anything else.
        """
        waits = _waits(approvals)
        module = importlib.import_module("langchain_hopward.middleware")
        return module.HopwardMiddleware(self._enforcer, self._server_of, interrupts=waits)

    def answer(self, interrupts: Iterable[Any], resume: Any, *, by: str, why: str = "") -> Any:
        """Record what `by` says to the calls that `interrupts` have shown them; the `Command` to resume with.

            agent.invoke(hopward.answer(result["__interrupt__"], decisions, by="lena@desk.example"), config)

        `resume` is what the run is to be resumed with: one `{"decisions": [...]}`, or one for each id of an
        interrupt, or a `Command` with either. Interrupts of others, and those without an answer, are passed
        on as they are. `by` is whom this program has authenticated. Everybody who may write the state of the
        graph can resume it, and that approves nothing.

        Raises `StateError` where something is no answer, is not this person's to give, or was shown
        otherwise than it stands in the decision log: the run stays interrupted. Several are recorded one
        after the other, so that those before one that is not this person's to give stand. Needs `langgraph`.
        """
        module = importlib.import_module("langchain_hopward.answers")
        return module.answered(self.guard, interrupts, resume, module.Person(by, why))

    def resume(self, task: str) -> TaskScope:
        """A task that a `with` block has left open, because a run was interrupted, for another block.

        It is the program that remembers which task a thread is of; the state of a graph says nothing about
        it. Raises, as it is entered, `NotFoundError`, and `StateError` where the task has ended.
        """
        return ResumedTask(self._enforcer, task)

    def task(
        self,
        *,
        subject: str,
        workflow: str = "",
        agent: str = "",
        parameters: Mapping[str, str] | None = None,
        request: str = "",
    ) -> TaskScope:
        """A task for a `with` block, on behalf of `subject`. Without `workflow`, the one the server names.

        `agent` says which agent the program means to run; a task is its workflow's agent's, and no other's.
        `parameters` and `request`, what the subject has asked for in their own words, say what it is about:
        an argument that names something which stands there is anchored.
        Raises `ConfigError` where there is no workflow, or where it is another agent's.
        """
        wanted = self._workflow(workflow)
        configured = self.guard.settings.workflows.get(wanted)
        if agent and configured is not None and configured.agent != agent:
            theirs = [name for name, one in self.guard.settings.workflows.items() if one.agent == agent]
            raise ConfigError(
                f"Tasks of workflow {wanted} are for agent {configured.agent}, not for {agent}.",
                advice=f"Workflows of {agent}: {', '.join(sorted(theirs)) or 'none'}",
            )
        return TaskScope(self._enforcer, wanted, subject, parameters, request)

    def entry(
        self, graph: G, *, workflow: str = "", approvals: Literal["refuse", "interrupt"] = "refuse"
    ) -> G:
        """A copy of a compiled graph, each run of which is a task of its own: for LangGraph's server, Studio.

        The subject is whom the server has authenticated (`langgraph_auth_user`); a run of nobody is refused.
        Inside a task, it runs in that one. With `approvals="interrupt"`, for a graph whose agents have such a
        `middleware`, the task of a run that waits stays open, and whoever the server has authenticated for
        its resumption answers, as in `answer`. Raises as `task` does, `ValueError` as `middleware`, and
        `TypeError` for no compiled graph.
        """
        waits = _waits(approvals)
        wanted = self._workflow(workflow)
        if wanted not in self.guard.settings.workflows:
            raise ConfigError(
                f"There is no [workflows.{wanted}].", advice="Pass workflow=, or name it there."
            )

        def scope(subject: str) -> TaskScope:
            return TaskScope(self._enforcer, wanted, subject)

        def answer(interrupts: Any, resume: Any, by: str) -> Any:
            return self.answer(interrupts, resume, by=by)

        return served(graph, self._enforcer, scope, answer if waits else None)

    def connections(self, *servers: str) -> dict[str, dict[str, Any]]:
        """How an MCP client of this program reaches these servers: through the guarded proxy.

            MultiServerMCPClient(hopward.connections("files"))                  # langchain-mcp-adapters
            MCPAdapter({"mcpServers": hopward.connections("files")})            # langchain.mcp

        One adapter per server: of several, it makes a router, which is no proxy, and its calls are refused.
        A `fastmcp.client.group.ClientGroup` has a client for each.

        A server with a `command` gets a proxy of its own that takes nothing but carried chains; one with a
        `url` is reached at `hopward mcp serve`. Raises `ConfigError` for anything else.
        """
        return {name: connection(self._enforcer, self._behind_proxy(name)) for name in servers}

    def _server_of(self, tool: object) -> str:
        """The MCP server that a guarded copy is of; empty for every other tool."""
        return next((name for name, protection in self._carried.items() if protection.made(tool)), "")

    def _workflow(self, workflow: str) -> str:
        wanted = workflow or self.guard.settings.servers[self.server].workflow
        if not wanted:
            raise ConfigError(
                f"servers.{self.server} names no workflow, so there is no task to open.",
                advice="Set `workflow` there, or pass workflow=.",
            )
        return wanted

    def _behind_proxy(self, server: str) -> str:
        settings = self.guard.settings.servers.get(server)
        if settings is None or settings.in_process:
            known = [name for name, one in self.guard.settings.servers.items() if not one.in_process]
            raise ConfigError(
                f"There is no MCP server {server!r} behind the proxy.",
                advice=f"There are: {', '.join(sorted(known)) or 'none'}",
            )
        return server

    def _carrying(self, server: str) -> Protection:
        if server not in self._carried:
            carriage = Carriage(self._enforcer, self._behind_proxy(server))
            self._carried[server] = Protection(self._enforcer, server, carriage.body)
        return self._carried[server]

    def close(self) -> None:
        """Close the decision log. Whatever is still guarded is refused from then on."""
        self.guard.close()


def _waits(approvals: str) -> bool:
    if approvals not in ("refuse", "interrupt"):
        raise ValueError(f'approvals is "refuse" or "interrupt", and not {approvals!r}')
    return approvals == "interrupt"


def _installed() -> list[object]:
    """What LangChain tells of every run in this process, as of now."""
    return [hook[0].get() for hook in context._configure_hooks]  # pyright: ignore[reportPrivateUsage] - only read


def _server(guard: Guard, wanted: str) -> str:
    here = [name for name, server in guard.settings.servers.items() if server.in_process]
    known = ", ".join(sorted(here)) or "none"
    if wanted and wanted not in here:
        raise ConfigError(
            f"There is no server {wanted!r} with in_process = true.", advice=f"There are: {known}"
        )
    if not wanted and len(here) != 1:
        raise ConfigError(
            "Which server the tools of this process belong to is not clear.",
            advice=f"Pass server=NAME. Those with in_process = true: {known}",
        )
    return wanted or here[0]
