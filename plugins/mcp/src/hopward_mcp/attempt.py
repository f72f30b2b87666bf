"""One guarded call for a person to look at: a task of its own, the proxy's own path, the rows it left."""

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client, MCPError

from hopward import Guard, HopwardError, Settings, Task
from hopward_mcp.arguments import Word, signature, typed
from hopward_mcp.configured import require_server
from hopward_mcp.delivery import courier
from hopward_mcp.endpoints import sharing
from hopward_mcp.gate import Gate
from hopward_mcp.inspection import Surroundings, asked, leaf, tools_of
from hopward_mcp.loopback import Loopback
from hopward_mcp.opening import Opening, end_on_signal, opened
from hopward_mcp.turn import Turn

_PATIENCE = 10.0
"""Seconds a server has to say what its tools take, before the call itself."""

logging.getLogger("mcp").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Wanted:
    """The call to make: arguments as typed, and the task to open for it."""

    server: str
    tool: str
    words: Sequence[Word]
    opening: Opening


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a call. `records` are the records of its rows by their kind, and `decision` its id.

    `result` is what the server, or Hopward in its place, has answered; `error` why there is none.
    """

    wanted: Wanted
    task: Task
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    result: dict[str, Any] | None = None
    error: str = ""
    decision: str = ""
    records: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def permitted(self) -> bool:
        """Whether the decision was a permit, or observed."""
        return self.observed or self.records.get("decision", {}).get("verdict", {}).get("name") == "permit"

    @property
    def observed(self) -> bool:
        """Whether the call went on although it would have been refused."""
        return self.records.get("decision", {}).get("observed") is True

    @property
    def went_well(self) -> bool:
        """Whether the call was permitted and the tool has done what it was asked."""
        return self.permitted and self.result is not None and self.result.get("isError") is not True


async def attempted(config: Path, wanted: Wanted) -> Attempt:
    """Make the call. Whatever is refused or fails is in the attempt, once the server is reached.

    Raises `ConfigError` for arguments that the tool cannot take, `HopwardError` where there is no way to it.
    """
    end_on_signal()
    async with AsyncExitStack() as stack:
        guard = Guard.open(config)
        stack.callback(guard.close)
        require_server(guard.settings, wanted.server)
        gate = await _gate(guard, wanted.server, stack)
        await _check(guard.settings, wanted)
        task = opened(guard, wanted.server, wanted.opening, stack)
        way = Loopback(gate, guard.enter(task.id))
        arguments, result, error = await _called(way, wanted)
        decision, records = _rows(guard, task)
        return Attempt(wanted, task, arguments, result, error, decision, records)


async def _check(settings: Settings, wanted: Wanted) -> None:
    """Raise `ConfigError` for arguments that the tool cannot take, before there is a task.

    Where the classification does not say, the server is asked, without a credential; one that does not answer
    that says later what it takes.
    """
    entry = settings.servers[wanted.server].tools.get(wanted.tool)
    classified = entry.arguments if entry else {}
    typed(wanted.words, signature(classified, None))
    if all(word.name in classified for word in wanted.words):
        return
    listed: list[Any] = []
    with Path(os.devnull).open("w") as unheard, suppress(HopwardError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            listed = await asked(settings, wanted.server, tools_of, Surroundings(os.environ, unheard))
    typed(wanted.words, signature(classified, _schema(listed, wanted.tool)))


async def _gate(guard: Guard, server: str, stack: AsyncExitStack) -> Gate:
    attached = courier(guard.settings, server, os.environ)
    turn = Turn(guard, asyncio.get_running_loop())
    shared = sharing(guard, turn)
    stack.push_async_callback(shared.close)
    return Gate(guard, server, courier=attached, turn=turn, authority=shared.authority_of(server))


async def _called(way: Loopback, wanted: Wanted) -> tuple[dict[str, Any], dict[str, Any] | None, str]:
    """Arguments, result and error of the call; raises `HopwardError` where it cannot be made."""
    try:
        async with Client(way.transport()) as client:
            arguments = await _arguments(client, way.gate.guard, wanted)
            try:
                result = await client.call_tool(wanted.tool, arguments)
            except (MCPError, RuntimeError, ValueError) as error:
                return arguments, None, str(error)
            return arguments, result.model_dump(mode="json", by_alias=True, exclude_none=True), ""
    except (MCPError, OSError) as error:
        raise _unreached(way, error) from error
    except ExceptionGroup as group:
        raise _unreached(way, leaf(group)) from group


def _unreached(way: Loopback, error: BaseException) -> HopwardError:
    if isinstance(error, HopwardError):
        return error
    server = way.gate.server
    told = f"The server {server} {way.ended or f'did not answer: {error}'}"
    advice = f"hopward mcp ls says what is wrong with it; no call was made of {server}."
    return HopwardError(told.rstrip(".") + ".", error="server_unreachable", advice=advice)


async def _arguments(client: Client, guard: Guard, wanted: Wanted) -> dict[str, Any]:
    """The arguments, by what the classification and, if the task may see the tool, its schema say."""
    try:
        listed: list[Any] = await tools_of(client)
    except HopwardError:
        # A list without an end; the call itself can be made all the same.
        listed = []
    entry = guard.settings.servers[wanted.server].tools.get(wanted.tool)
    return typed(wanted.words, signature(entry.arguments if entry else {}, _schema(listed, wanted.tool)))


def _schema(listed: list[Any], tool: str) -> Any:
    return next((one.input_schema for one in listed if one.name == tool), None)


def _rows(guard: Guard, task: Task) -> tuple[str, dict[str, Any]]:
    """The decision of the only call of this task, and the records of its rows by their kind.

    Of a call that was refused before any decision, it is the record of that refusal.
    """
    rows: list[Any] = []
    for row in guard.ledger.rows():
        if row.task != task.id:
            continue
        if row.kind == "task":
            break
        rows.append(row)
    decision = next((row.decision for row in rows if row.kind == "decision"), "")
    return decision, {row.kind: row.record for row in reversed(rows) if row.decision == decision}
