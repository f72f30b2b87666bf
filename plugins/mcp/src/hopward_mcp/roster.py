"""The servers of a configuration, each really asked what it offers: `hopward mcp ls`.

All are asked at once, each for so long at most; one that hangs or crashes does not keep the others waiting.
"""

import asyncio
import os
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

import anyio
from mcp import Client

from hopward import HopwardError, Settings
from hopward_mcp.inspection import CallerRefusedError, Surroundings, asked, tools_of
from hopward_mcp.observing import observing

_LAST_WORDS = 4_096
"""Bytes of what a server printed last that are looked at."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One server. `ok` is None where it was not asked; `era` is empty and `tools` None where it did not say.

    `classified` are the names with a classification, `era` the protocol version that answered, and `health`
    a sentence, or `ok`. `observed` is what there is to say of a server that is observed.
    """

    server: str
    transport: str
    reached: str
    classified: tuple[str, ...]
    ok: bool | None
    health: str
    era: str = ""
    tools: tuple[str, ...] | None = None
    observed: str = ""

    @property
    def unclassified(self) -> tuple[str, ...] | None:
        """Tools that nobody has classified: calls of them are refused."""
        if self.tools is None:
            return None
        return tuple(tool for tool in self.tools if tool not in self.classified)

    @property
    def vanished(self) -> tuple[str, ...]:
        """Tools that are classified, and that the server does not offer."""
        return tuple(tool for tool in self.classified if self.tools is not None and tool not in self.tools)


def unasked(settings: Settings) -> list[Entry]:
    """Every server as configured, without connecting to any."""
    return [_entry(settings, server, None, "not asked") for server in settings.servers]


async def roster(settings: Settings, seconds: float, asked_one: Callable[[], None]) -> list[Entry]:
    """Every server, asked for at most so many seconds; `asked_one` is called as each is done."""

    async def one(server: str) -> Entry:
        entry = await _asked(settings, server, seconds)
        asked_one()
        return entry

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(server)) for server in settings.servers]
    return [task.result() for task in tasks]


async def _asked(settings: Settings, server: str, seconds: float) -> Entry:
    if settings.servers[server].in_process:
        return _entry(settings, server, None, "not asked: its tools run in a program")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as heard:
        try:
            with anyio.fail_after(seconds):
                era, tools = await asked(settings, server, _offer, Surroundings(os.environ, heard))
        except CallerRefusedError as error:
            return _turned_away(settings, server, error)
        except TimeoutError:
            return _entry(settings, server, False, f"did not answer within {seconds:g} s{_said(heard)}")
        except HopwardError as error:
            return _entry(settings, server, False, f"{_bare(server, error)}{_said(heard)}")
    return _entry(settings, server, True, "ok", era, tools)


async def _offer(client: Client) -> tuple[str, tuple[str, ...]]:
    """The version that was agreed on, and the names of the tools."""
    tools: list[Any] = await tools_of(client)
    return client.protocol_version, tuple(str(tool.name) for tool in tools)


def _turned_away(settings: Settings, server: str, error: CallerRefusedError) -> Entry:
    """A server that lets nobody in without a credential for a call, as one behind Hopward should."""
    by = settings.servers[server].credential.by
    if by == "authorization":
        return _entry(settings, server, True, "ok; it lists nothing without a credential")
    told = "refused the API key" if by == "header" else "wants a credential that Hopward does not send it"
    return _entry(settings, server, False, f"{told} {error.message[error.message.rindex('(') :].rstrip('.')}")


def _entry(
    settings: Settings,
    server: str,
    ok: bool | None,
    health: str,
    era: str = "",
    tools: tuple[str, ...] | None = None,
) -> Entry:
    entry = settings.servers[server]
    if entry.in_process:
        transport, reached = "in-process", "a program"
    elif entry.url:
        transport, reached = "http", entry.url
    else:
        transport, reached = "stdio", shlex.join(entry.command)
    classified, told = tuple(entry.tools), observing(settings, server)
    return Entry(server, transport, reached, classified, ok, health, era, tools, told)


def _bare(server: str, error: HopwardError) -> str:
    """What went wrong, where the row says already which server it is about."""
    return error.message.removeprefix(f"The server {server} ").removeprefix(f"servers.{server}: ").rstrip(".")


def _said(heard: TextIO) -> str:
    """The last line that a server printed on its stderr."""
    heard.flush()
    size = os.fstat(heard.fileno()).st_size
    raw = os.pread(heard.fileno(), _LAST_WORDS, max(0, size - _LAST_WORDS))
    lines = raw.decode("utf-8", "replace").strip().splitlines()
    return f"; it printed: {lines[-1].strip()[:200]}" if lines else ""
