"""The support desk as an MCP server over stdio and Streamable HTTP: five tools, MCP resources, one prompt.

    python server.py --stdio --resource urn:support-desk --issuer URL --jwks FILE_OR_URL
    python server.py --http 127.0.0.1:8800 --resource URL --issuer URL --jwks FILE_OR_URL

Every tools/call, resources/read and prompts/get must carry a Hopward credential (see `door.py`): on HTTP as
`Authorization: Bearer`, on stdio as `_meta["dev.hopward/credential"]`. Who walks around the proxy is refused.
"""

import argparse
import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import uvicorn
from data import Customer, DeskError, SupportDesk, Ticket
from door import Door, KeysFromFile, KeysFromUrl, SpentTokens
from gates import HttpGate, ReceivedClaims, StdioGate
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import MCPServerError, ResourceNotFoundError, ToolError
from mcp.types import ToolAnnotations
from pydantic import Field
from starlette.types import ASGIApp

INSTRUCTIONS = (
    "Customer support: read tickets, find customers, answer by mail, refund orders, erase customers."
)
LOOKS = ToolAnnotations(read_only_hint=True)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=False)
DESTROYS = ToolAnnotations(read_only_hint=False, destructive_hint=True)

TicketId = Annotated[str, Field(description="Ticket id, for example T-1041")]
CustomerId = Annotated[str, Field(description="Customer id, for example C-7")]


@contextmanager
def _told_as(kind: type[MCPServerError]) -> Generator[None]:
    try:
        yield
    except DeskError as error:
        raise kind(str(error)) from error


class Tools:
    """What the server offers, over one desk and without any check of who calls."""

    def __init__(self, desk: SupportDesk) -> None:
        self._desk = desk

    async def read_ticket(self, ticket_id: TicketId) -> Ticket:
        """Read one ticket: who wrote it, what they want, what they paid, what was refunded."""
        with _told_as(ToolError):
            return self._desk.ticket(ticket_id)

    async def search_customers(self, query: str) -> list[Customer]:
        """Find customers by a part of their name or mail address."""
        return self._desk.search(query)

    async def send_email(self, to: str, subject: str, body: str) -> str:
        """Send a mail from the support desk."""
        with _told_as(ToolError):
            return f"mail {self._desk.send(to, subject, body)} sent to {to}"

    async def refund(self, ticket_id: TicketId, amount: float, reason: str) -> str:
        """Refund an amount in euros of the order behind a ticket."""
        with _told_as(ToolError):
            number = self._desk.refund(ticket_id, amount, reason)
        return f"refund {number}: {amount:.2f} EUR for {ticket_id}"

    async def delete_customer(self, customer_id: CustomerId) -> str:
        """Erase a customer and every ticket of that customer."""
        with _told_as(ToolError):
            self._desk.delete_customer(customer_id)
        return f"customer {customer_id} erased"

    async def ticket_text(self, ticket_id: str) -> str:
        """The text of a ticket, as the MCP resource `ticket://ID`."""
        with _told_as(ResourceNotFoundError):
            found = self._desk.ticket(ticket_id)
        return f"{found.subject}\n\n{found.body}\n\n{found.customer.name}"

    async def draft_reply(self, ticket_id: str) -> str:
        """Instructions for answering a ticket."""
        found = self._desk.ticket(ticket_id)
        return f"Write a short, kind answer to {found.customer.name} about {found.subject!r}."


def build(desk: SupportDesk) -> MCPServer:
    """The MCP server over one desk."""
    # MCPServer tells the SDK where a tool's schema is, so no call causes a hidden tools/list.
    server = MCPServer("support-desk", version="0.1.0", instructions=INSTRUCTIONS, log_level="ERROR")
    tools = Tools(desk)
    server.add_tool(tools.read_ticket, annotations=LOOKS)
    server.add_tool(tools.search_customers, annotations=LOOKS)
    server.add_tool(tools.send_email, annotations=CHANGES)
    server.add_tool(tools.refund, annotations=CHANGES)
    server.add_tool(tools.delete_customer, annotations=DESTROYS)
    server.resource("ticket://{ticket_id}", name="ticket", mime_type="text/plain")(tools.ticket_text)
    server.prompt()(tools.draft_reply)
    return server


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The Hopward example server.")
    transport = parser.add_mutually_exclusive_group(required=True)
    transport.add_argument(
        "--stdio", action="store_true", help="serve one client on standard input and output"
    )
    transport.add_argument(
        "--http", metavar="HOST:PORT", help="serve Streamable HTTP at http://HOST:PORT/mcp"
    )
    parser.add_argument(
        "--data", type=Path, default=Path("support-desk-data"), help="folder of everything it keeps"
    )
    parser.add_argument("--name", default="support_desk", help="this server's name in hopward.toml")
    parser.add_argument("--resource", help="its resource indicator: the only audience it accepts")
    parser.add_argument("--issuer", help="the authority's issuer URL")
    parser.add_argument("--jwks", help="the authority's public keys: a file or a URL")
    parser.add_argument("--dangerously-accept-anyone", action="store_true", help="check no credential at all")
    options = parser.parse_args()
    if not options.dangerously_accept_anyone:
        missing = [f"--{name}" for name in ("resource", "issuer", "jwks") if not getattr(options, name)]
        if missing:
            parser.error(
                f"without {', '.join(missing)} no credential can be checked, so the server does not start"
            )
    return options


def _door(options: argparse.Namespace) -> Door:
    is_url = options.jwks.startswith(("http://", "https://"))
    keys = KeysFromUrl(options.jwks) if is_url else KeysFromFile(Path(options.jwks))
    spent = SpentTokens(options.data)
    return Door(name=options.name, resource=options.resource, issuer=options.issuer, keys=keys, spent=spent)


async def _serve_http(app: ASGIApp, listener: socket.socket) -> None:
    # The socket listens already, so whoever reads this line can connect.
    host, port = listener.getsockname()[:2]
    print(f"listening on http://{host}:{port}/mcp", flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])


async def main() -> None:
    """Serve until the client leaves (stdio) or the process is told to stop (HTTP)."""
    options = _arguments()
    desk = SupportDesk(options.data)
    server = build(desk)
    guarded = not options.dangerously_accept_anyone
    received = ReceivedClaims(options.data / "received.jsonl")
    try:
        if options.stdio:
            if guarded:
                server.middleware.append(StdioGate(_door(options), received))
            await server.run_stdio_async()
        else:
            host, _, port = options.http.rpartition(":")
            app: ASGIApp = server.streamable_http_app(host=host)
            app = HttpGate(app, _door(options), received) if guarded else app
            await _serve_http(app, socket.create_server((host, int(port))))
    finally:
        received.close()
        desk.close()


if __name__ == "__main__":
    asyncio.run(main())
