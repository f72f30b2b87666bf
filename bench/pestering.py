"""Callers of a bad server, in a process of their own: `pestering.py URL CALLERS ERA`, the token on stdin.

Each keeps one call under way and reads whatever comes of it, without looking at it. Prints a line once all
have sent their first call.
"""

import asyncio
import json
import sys
from urllib.parse import urlsplit

from bench.rawclient import MODERN

_AGAIN_SECONDS = 0.05


async def _pester(url: str, era: str, token: str, sent: asyncio.Event) -> None:
    parts = urlsplit(url)
    meta = {"io.modelcontextprotocol/protocolVersion": era, "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"name": "echo", "arguments": {"text": "x"}, **({"_meta": meta} if era == MODERN else {})}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Authorization: Bearer {token}",
        f"MCP-Protocol-Version: {era}",
        *(["Mcp-Method: tools/call", "Mcp-Name: echo"] if era == MODERN else []),
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    while True:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        sent.set()
        while await reader.read(65_536):
            pass
        writer.close()
        await asyncio.sleep(_AGAIN_SECONDS)


async def main(url: str, callers: int, era: str, token: str) -> None:
    """Pester until stopped."""
    sent = [asyncio.Event() for _ in range(callers)]
    async with asyncio.TaskGroup() as group:
        for one in sent:
            group.create_task(_pester(url, era, token, one))
        for one in sent:
            await one.wait()
        print("pestering", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.stdin.readline().strip()))
