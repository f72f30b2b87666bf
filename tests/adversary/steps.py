"""The steps that scenarios are made of."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hopward import HopwardError
from hopward.pins import defined

from .office import PAYROLL, listing
from .stage import Effects, Stage

META = json.dumps(
    {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
)


class Plain:
    """A step that has no effects of its own. `effects` are what the office has done after it, `wants` what it
    has only done once the defence is gone."""

    always = False
    refused = ""
    effects: Effects = ()
    wants: Effects = ()


class Call(Plain):
    """A call of `SERVER/TOOL` by the agent."""

    def __init__(
        self, name: str, refused: str = "", meta: Mapping[str, Any] | None = None, /, **arguments: Any
    ) -> None:
        self.name, self.arguments, self.refused, self.meta = name, arguments, refused, meta
        effect = ((name, arguments),)
        self.effects, self.wants = ((), effect) if refused else (effect, ())

    async def take(self, stage: Stage) -> str:
        answer = await stage.call(self.name, self.arguments, self.meta)
        if answer.approval:
            stage.approval = answer.approval
        return answer.reason


class Asks(Call):
    """A call that needs a person, whatever else is gone."""

    always = True

    def __init__(self, name: str, /, **arguments: Any) -> None:
        super().__init__(name, "approval_required", **arguments)
        self.wants = ()


class Does(Plain):
    """Anything else; it may tell a reason why it was refused."""

    def __init__(self, how: Callable[[Stage], Awaitable[str | None]], refused: str = "") -> None:
        self._how, self.refused = how, refused

    async def take(self, stage: Stage) -> str:
        return await self._how(stage) or ""


class Lists(Plain):
    """The agent lists a server's tools. Where it is `refused`, one of them must not be among these."""

    def __init__(self, name: str, refused: str = "") -> None:
        self._server, _, self._tool = name.partition("/")
        self.refused = refused

    async def take(self, stage: Stage) -> str:
        shown = await stage.tools(self._server)
        return self.refused if self._tool and self._tool not in shown else ""


class Redefines(Plain):
    """The server lists its tools otherwise from now on: as `how` makes of what it has listed."""

    def __init__(self, server: str, how: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        self._server, self._how = server, how

    async def take(self, stage: Stage) -> str:
        changed = {self._server: self._how(listing(self._server))}
        (stage.folder / "listing.json").write_text(json.dumps(changed), "utf-8")
        return ""


class Accepts(Plain):
    """A person accepts the definition that a server lists of a tool now."""

    def __init__(self, name: str) -> None:
        self._server, _, self._tool = name.partition("/")

    async def take(self, stage: Stage) -> str:
        path = stage.folder / "listing.json"
        changed = json.loads(path.read_text("utf-8")) if path.exists() else {}
        tools = changed.get(self._server) or listing(self._server)
        (one,) = [defined(tool) for tool in tools if tool["name"] == self._tool]
        stage.guard.pins.accept(self._server, {one.name: one.digest}, by="olga@firm.example", why="read it")
        return ""


class Approves(Plain):
    """Somebody approves what was asked last, for `times` such calls; `refused` where they may not."""

    def __init__(self, by: str = "olga@firm.example", refused: str = "", times: int = 1) -> None:
        self._by, self.refused, self._times = by, refused, times

    async def take(self, stage: Stage) -> str:
        try:
            stage.guard.approvals.approve(stage.approval, by=self._by, times=self._times)
        except HopwardError as error:
            return error.error
        return ""


class Sends(Plain):
    """A tools/call as it is written, at a server's endpoint of the proxy, or past it at the server itself."""

    def __init__(
        self,
        name: str,
        written: str,
        refused: str = "",
        *,
        around: tuple[str, str] = ("", ""),
        token_of: str = "",
        directly: bool = False,
    ) -> None:
        """`written` are the arguments, `around` stands around the message, `token_of` is another server whose
        token is presented. `directly` leaves the proxy out."""
        self._server, _, self._tool = name.partition("/")
        self._token_of, self._directly, self.refused = token_of or self._server, directly, refused
        params = f'{{"name":"{self._tool}","arguments":{written},"_meta":{META}}}'
        told = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}'
        effect = ((name, json.loads(written)),)
        self.effects, self.wants = ((), effect) if refused else (effect, ())
        self._body = told.join(around).encode("utf-8", "surrogatepass")

    async def take(self, stage: Stage) -> str:
        base = stage.office if self._directly else f"{stage.proxy.url}/"
        before = len(stage.rows(kind="refusal"))
        token = stage.token(self._token_of)
        answer = await stage.post(f"{base}{self._server}/mcp", self._tool, self._body, token)
        if not answer.reason or answer.decision or self._directly:
            return answer.reason
        return stage.turned_away(before)


class UnderWay(Plain):
    """While the server works on a call, `contain` happens; the call must end refused, its answer unseen."""

    effects: Effects = (("bank/statement", {}),)

    def __init__(self, contain: Callable[[Stage], object], refused: str) -> None:
        self._contain, self.refused = contain, refused

    async def take(self, stage: Stage) -> str:
        gate, reached = stage.folder / "gate", stage.folder / "reached"
        os.mkfifo(gate)
        os.mkfifo(reached)
        # A client belongs to the task that has connected it.
        await stage.client("bank")
        call = asyncio.create_task(stage.call("bank/statement", {}))
        await asyncio.to_thread(reached.read_bytes)
        self._contain(stage)
        if not stage.guard.contained():
            await asyncio.to_thread(gate.write_bytes, b".")
            return (await call).reason
        answer = await call
        await asyncio.to_thread(gate.write_bytes, b".")
        assert PAYROLL not in answer.text
        return answer.reason
