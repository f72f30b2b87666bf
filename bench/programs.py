"""The groups `programs` and `chains`: what a guarded LangChain tool costs, and a chain of many agents."""

import itertools
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, StructuredTool

from bench.context import Context
from bench.errors import BenchError
from bench.repeat import Subject, run_rounds
from bench.results import Entry, Measure
from bench.routes import hopward_command
from hopward import Chain, Guard, ToolCall
from hopward.clock import SystemClock
from hopward.keys import KeyRing
from hopward.link import Links, write
from hopward.possession import Holders
from langchain_hopward import Hopward

GROUP = "programs"
CHAINS = "chains"
ADDED = "added to tool.invoke"
AGENTS = tuple(f"a{number}" for number in range(1, 9))

_ALL = '[{ tools = ["app/*"], actions = ["read"], sensitivity = "internal", destinations = ["*"] }]'
_AGENT = """
[agents.{name}]
owner = "bench@example.com"
purpose = "Is measured"
ceiling = {all}
delegable = {all}
"""
_REST = """
[authority]
issuer = "http://127.0.0.1:8700"

[servers.app]
in_process = true
resource = "urn:bench:app"
credential = {{ by = "context" }}
workflow = "bench"

[servers.app.tools.look]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "archive"
arguments = {{ note = "string" }}

[servers.app.hops.next]
agent = "a2"
tool = "ask"
purpose = "Is measured"
capabilities = {all}
budget = {{ calls = 100000000, writes = 0 }}
expires_in = 86400
shared = true
delegable = {all}
depth = 7
fan_out = 1000

[workflows.bench]
agent = "a1"
purpose = "Is measured"
expires_in = 86400
budget = {{ calls = 100000000, writes = 0 }}
capabilities = {all}
delegable = {all}
depth = 7
fan_out = 1000
"""
_POLICY = """
permit (principal, action in Hopward::Action::"read", resource);
permit (principal, action == Hopward::Action::"delegate", resource);
"""
_NOTE = {"note": "n1"}


def measure(context: Context) -> list[Entry]:
    """A bare tool and a guarded one, an agent's step with each, and decisions of chains of 1 to 8 agents."""
    plan, folder = context.plan, context.folder / "programs"
    _create(folder)
    with ExitStack() as stack:
        guard = Guard.open(folder / "hopward.toml")
        stack.callback(guard.close)
        hopward = Hopward(guard)
        task = stack.enter_context(hopward.task(subject="person@example.com"))
        bare = StructuredTool.from_function(_look, name="look", description="Looks.")
        (guarded,) = hopward.protect([bare])
        subjects = [
            Subject(GROUP, "tool.invoke, bare", lambda: _found(bare)),
            Subject(GROUP, "tool.invoke, protected", lambda: _found(guarded)),
            Subject(GROUP, "agent step, bare", _step(bare, ())),
            Subject(GROUP, "agent step, guarded", _step(guarded, (hopward.middleware(),))),
            *_chains(guard, guard.enter(task.id)),
        ]
        context.expect(len(subjects) * plan.rounds)
        entries = run_rounds(subjects, plan.rounds, plan.decisions, context.step)
    return [*entries, _added(entries)]


def _create(folder: Path) -> None:
    agents = "".join(_AGENT.format(name=name, all=_ALL) for name in AGENTS)
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "bench.cedar").write_text(_POLICY)
    (folder / "hopward.toml").write_text(_REST.format(all=_ALL) + agents)
    command = hopward_command(folder / "hopward.toml", "init")
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def _look(note: str) -> str:
    return f"found {note}"


def _found(tool: BaseTool) -> None:
    if tool.invoke(_NOTE) != "found n1":
        raise BenchError("a measured tool has not answered")


class _Scripted(BaseChatModel):
    """Asks for the tool and ends its turn, again and again."""

    turns: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "_Scripted":
        return self

    def _generate(self, messages: list[Any], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=next(self.turns))])


def _step(tool: BaseTool, middleware: Sequence[Any]) -> Callable[[], None]:
    """One run of an agent: two turns of the model, and one call of the tool between them."""
    wanted = {"name": "look", "args": _NOTE, "id": "call_1", "type": "tool_call"}
    turns = itertools.cycle([AIMessage(content="", tool_calls=[wanted]), AIMessage(content="done")])
    agent: Any = create_agent(_Scripted(turns=turns), [tool], middleware=middleware)

    def step() -> None:
        told = agent.invoke({"messages": [("user", "look")]})["messages"]
        if told[-2].text != "found n1":
            raise BenchError(f"a measured step has gone wrong: {told[-2]}")

    return step


def _chains(guard: Guard, root: Chain) -> list[Subject]:
    """Decisions of chains of 1, 2, 4 and 8 agents, and reading the links of 8."""
    chain, found = root, {1: root}
    narrowing = guard.settings.servers["app"].hops["next"].narrowing
    for number, name in enumerate(AGENTS[1:], 2):
        delegation = guard.delegate(chain, name, narrowing, guard.holder(name))
        if delegation.chain is None:
            raise BenchError(f"a measured chain has ended: {delegation.decision.verdict}")
        chain = found[number] = delegation.chain
    call = ToolCall(server="app", tool="look", arguments=_NOTE)

    def decide(asked: Chain) -> Callable[[], None]:
        def once() -> None:
            if not guard.authorize(call, asked).permitted:
                raise BenchError("a measured decision is no permit")

        return once

    lengths = {1: "1 agent", 2: "2 agents", 4: "4 agents", 8: "8 agents"}
    deciding = [
        Subject(CHAINS, f"authorize, {name}", decide(found[count])) for count, name in lengths.items()
    ]
    return [*deciding, *_links(guard, chain)]


def _links(guard: Guard, chain: Chain) -> list[Subject]:
    standing = guard.ledger.standing(chain)
    if standing.task is None:
        raise BenchError("the measured task is gone")
    issuer, signing = guard.issuer.issuer, KeyRing.open(guard.settings.keys_folder).signing
    holder = Holders().key(AGENTS[0]).kid
    links = write(standing.task, [one.hop for one in standing.hops], holder, issuer, signing)
    public, now, warm = {signing.kid: signing.verification()}, SystemClock().now(), Links(issuer)
    return [
        Subject(CHAINS, "links of 8 agents, never read", lambda: _read(Links(issuer), links, public, now)),
        Subject(CHAINS, "links of 8 agents, read before", lambda: _read(warm, links, public, now)),
    ]


def _read(reader: Links, links: Sequence[str], keys: Any, now: int) -> None:
    if len(reader.read(links, keys, now).hops) != len(AGENTS) - 1:
        raise BenchError("measured links have gone wrong")


def _added(entries: Sequence[Entry]) -> Entry:
    """The CPU time that protecting a tool adds to its call, round by round."""
    named = {entry.name: entry.metrics["cpu_us"].rounds for entry in entries if entry.group == GROUP}
    pairs = zip(named["tool.invoke, protected"], named["tool.invoke, bare"], strict=True)
    return Entry(
        group=GROUP, name=ADDED, metrics={"cpu_us": Measure.of([ours - bare for ours, bare in pairs])}
    )
