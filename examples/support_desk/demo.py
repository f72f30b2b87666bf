"""What `make demo` runs: a real MCP server, guarded over stdio and Streamable HTTP, and a real MCP client.

Nothing is canned: every line shown comes from a running process, and where one does not come out as the story
says, the demo stops with exit status 1. What it made stays in the folder `demo-run`, for a look around.
"""

import argparse
import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import show
from agent import Agent
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent
from stage import HOPWARD, DemoError, Stage, stage

from hopward import Guard, Task

PERSON = "ines@desk.example"
READ = {"ticket_id": "T-1042"}
TOO_MUCH = {"ticket_id": "T-1042", "amount": 900.0, "reason": "the ticket says so"}
FAIR = {"ticket_id": "T-1041", "amount": 35.0, "reason": "arrived broken"}
ERASE = {"customer_id": "C-8"}


def must(holds: bool, what: object) -> None:
    """Stop the demo unless something holds."""
    if not holds:
        raise DemoError(f"this is not how the story goes: {what}")


async def permitted(client: Client, tool: str, arguments: dict[str, Any]) -> str:
    """Call a tool that has to be permitted, and show it; its text."""
    show.asked(tool, arguments)
    result = await client.call_tool(tool, arguments)
    must(not result.is_error, result)
    show.permitted(text_of(result))
    return text_of(result)


async def refused(client: Client, tool: str, arguments: dict[str, Any], reason: str) -> None:
    """Call a tool that has to be refused by a decision for a reason, and show it."""
    show.asked(tool, arguments)
    result = await client.call_tool(tool, arguments)
    decision = (result.meta or {}).get("dev.hopward/decision", {})
    must(result.is_error is True and decision.get("reason") == reason, result)
    show.refused(text_of(result))


def text_of(result: CallToolResult) -> str:
    """The text of a tool result, on one line."""
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    return " ".join(" ".join(texts).split())


def in_desk(place: Stage, transport: str, sql: str) -> int:
    """A number from the records of a support desk."""
    with closing(sqlite3.connect(place.folder / transport / "desk.sqlite")) as database:
        return database.execute(sql).fetchone()[0]


def opened_task(place: Stage) -> dict[str, Any]:
    """The one task that is open."""
    tasks = place.hopward("task", "list", "--state", "open", "--json").splitlines()
    must(len(tasks) == 1, tasks)
    return json.loads(tasks[0])


def task_state(place: Stage, task: str) -> str:
    """The state of a task."""
    return str(json.loads(place.hopward("task", "show", task, "--json"))["state"])


async def over_stdio(place: Stage, chapters: show.Chapters) -> None:
    """An MCP client that starts the guarded server as it would start the server itself."""
    chapters.begin("An MCP client starts the guarded server, and a task opens")
    show.say("Where the client's configuration had the server's command, it now has this one:")
    show.command("hopward mcp run support_desk")
    with (place.folder / "stdio.log").open("w", encoding="utf-8") as messages:
        started = StdioServerParameters(
            command=str(HOPWARD), args=["mcp", "run", "support_desk", "--subject", PERSON], cwd=place.folder
        )
        async with Client(stdio_client(started, errlog=messages), mode="legacy") as client:
            task = opened_task(place)["id"]
            show.output(place.hopward("task", "show", task))
            await within_the_task(place, chapters, client)
            await beyond_the_task(place, chapters, client)
    state = task_state(place, task)
    must(state == "completed", state)
    show.say("")
    show.say(f"The client has left, and the task with it: {task} is {state}.")


async def within_the_task(place: Stage, chapters: show.Chapters, client: Client) -> None:
    """A permitted read, and the token the server received for it."""
    chapters.begin("A permitted read, with a token minted for this one call")
    answer = await permitted(client, "read_ticket", READ)
    claims = place.received("stdio")
    must(claims["scope"] == "support_desk/read_ticket" and claims["sub"] == PERSON, claims)
    must(0 < claims["exp"] - claims["iat"] <= 60 and claims["act"] == {"sub": "agent:support-agent"}, claims)
    show.token(claims)
    note = answer.partition("NOTE TO THE ASSISTANT: ")[2].partition('"')[0]
    must(bool(note), answer)
    show.say("The ticket is text from outside, and it says to the model that reads it:")
    show.quoted("from the body of T-1042", note)


async def beyond_the_task(place: Stage, chapters: show.Chapters, client: Client) -> None:
    """What the ticket asks for: a refund over the limit, and a tool that is not in the task."""
    chapters.begin("The agent obeys the ticket: a refund over the task's limit")
    await refused(client, "refund", TOO_MUCH, "outside_task")
    must(in_desk(place, "stdio", "SELECT count(*) FROM refunds") == 0, "a refund was paid")

    chapters.begin("A tool outside the task is neither listed nor callable")
    listed = [tool.name for tool in (await client.list_tools()).tools]
    must(listed == ["read_ticket", "search_customers", "send_email", "refund"], listed)
    show.say(f"tools/list shows {', '.join(listed)}. The server also has delete_customer:")
    await refused(client, "delete_customer", ERASE, "outside_task")
    must(in_desk(place, "stdio", "SELECT count(*) FROM customers") == 3, "a customer was erased")


async def over_http(place: Stage, chapters: show.Chapters, agent: Agent) -> None:
    """An agent of its own, with its own key, over Streamable HTTP."""
    chapters.begin("Over HTTP: an agent with a key of its own works in a task")
    task, task_token = entrusted(place)
    endpoint = f"{place.proxy}/support_desk_http/mcp"
    access_token = agent.exchange(place.authority, task_token, endpoint)
    show.say(
        f"{PERSON} opens {task.id} for {task.agent}. The agent shows the authority the task's token and its "
        f"own (RFC 8693, at {place.authority}/token), and gets one that opens {endpoint}."
    )
    async with http_client(endpoint, access_token) as client:
        await permitted(client, "refund", FAIR)
        claims = place.received("http")
        must(claims["aud"] == place.server and claims["txn"] == task.id, claims)
        show.token(claims)

        chapters.begin("The agent goes around the proxy, straight to the server")
        go_around(place, access_token)

        chapters.begin("The task is completed, and the next call is refused")
        show.command(f"hopward task complete {task.id}")
        show.output(place.hopward("task", "complete", task.id))
        await refused(client, "refund", FAIR | {"amount": 1.0}, "task_completed")
    must(in_desk(place, "http", "SELECT sum(cents) FROM refunds") == 3500, "another refund was paid")


def entrusted(place: Stage) -> tuple[Task, str]:
    """A task opened by the program that hands the agent its work, and the token of that task."""
    guard = Guard.open(place.folder / "hopward.toml")
    try:
        task = guard.open_task("support", subject=PERSON)
        return task, guard.issuer.task_token(task, guard.ledger).token
    finally:
        guard.close()


@asynccontextmanager
async def http_client(url: str, token: str) -> AsyncGenerator[Client]:
    """An SDK client that presents a bearer token."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode="2026-07-28") as client,
    ):
        yield client


def go_around(place: Stage, access_token: str) -> None:
    """The agent's own token at the server itself, in an ordinary tools/call."""
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params: dict[str, Any] = {"name": "refund", "arguments": FAIR, "_meta": meta}
    headers = {
        "Authorization": f"Bearer {access_token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "refund",
    }
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    show.say(f"POST {place.server}, with the token that opens the proxy:")
    answer = httpx2.post(place.server, headers=headers, json=message, timeout=30)
    must(answer.status_code == 401, answer.text)
    must(in_desk(place, "http", "SELECT count(*) FROM refunds") == 1, "the server paid")
    show.refused(f"HTTP {answer.status_code}: {answer.json()['error_description']}")
    show.say("The server opens only for a credential minted for the call, and the agent never sees one.")


def show_log(place: Stage, chapters: show.Chapters) -> None:
    """The decision log, verified, and verified again after a change."""
    chapters.begin("All of it stands in the decision log")
    show.command("hopward log tail -n 100 --json    # as a table")
    rows = [json.loads(line) for line in place.hopward("log", "tail", "-n", "100", "--json").splitlines()]
    denied = [row["reason"] for row in rows if row["kind"] == "decision" and row["verdict"] == "deny"]
    must(denied == ["outside_task", "outside_task", "task_completed"], denied)
    show.log_table(rows)
    show.command("hopward log verify")
    show.output(place.hopward("log", "verify"))

    chapters.begin("A copy with one row changed, as if the refund had been permitted")
    copy = place.folder / "tampered.db"
    seq = next(row["seq"] for row in rows if row["reason"] == "outside_task")
    tamper(place.log, copy, seq)
    show.command("hopward log --file tampered.db verify")
    found = place.hopward("log", "--file", str(copy), "verify", status=1)
    must(f"row is {seq}" in found, found)
    show.output(found)


def tamper(log: Path, copy: Path, seq: int) -> None:
    """Copy the log and turn a refusal in the copy into a permit, as somebody with the file could."""
    with closing(sqlite3.connect(log)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("DROP TRIGGER log_is_never_updated")
        change = 'verdict = \'permit\', record = replace(record, \'"name":"deny"\', \'"name":"permit"\')'
        target.execute(f"UPDATE log SET {change} WHERE seq = ?", (seq,))  # noqa: S608 - a constant
        target.commit()


NEXT = """\
hopward init --agent assistant --server files -- npx -y @modelcontextprotocol/server-filesystem ~/notes
hopward mcp classify files    # what each of its tools does, for you to accept
hopward doctor                # what is missing, or only good enough for development
hopward mcp run files         # put this where your MCP client has the server's own command
hopward log tail --follow     # and watch"""


def run(folder: Path) -> None:
    """The whole story; raises `DemoError` where it does not go as told."""
    agent, chapters = Agent("support-agent"), show.Chapters()
    show.say(
        "A customer support desk, as an MCP server, guarded by Hopward. The server, the guarding proxy, the "
        "authority and the agent's MCP client each run in a process of their own; nothing shown is canned."
    )
    with stage(folder, agent.public_jwk) as place:
        asyncio.run(over_stdio(place, chapters))
        asyncio.run(over_http(place, chapters, agent))
        show_log(place, chapters)
    chapters.begin("Guard a server of your own")
    show.output(NEXT)
    show.say("")
    show.say(f"Everything of this run is in {folder}: hopward.toml, policies, the log, what the servers did.")


def main() -> None:
    """Exit status 0 if all went as told, else 1. Processes end with the demo, however it ends."""
    parser = argparse.ArgumentParser(description="Guard a real MCP server, for a minute.")
    parser.add_argument("--folder", type=Path, default=Path("demo-run"), help="where it runs (made anew)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    failures: list[str] = []
    try:
        run(options.folder)
    except* DemoError as group:
        failures = [str(error) for error in _leaves(group)]
    for failure in failures:
        show.console.print(f"\nThe demo failed: {failure}", style="bold red", markup=False)
    sys.exit(1 if failures else 0)


def _leaves(group: BaseExceptionGroup[DemoError]) -> list[DemoError]:
    """What went wrong, out of the groups of the tasks it went through."""
    leaves: list[DemoError] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


def _stop(*_: object) -> NoReturn:
    sys.exit(1)


if __name__ == "__main__":
    main()
