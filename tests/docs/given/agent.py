"""Calls the tools named on the command line: python agent.py TOOL ARGUMENTS-AS-JSON ..."""

import asyncio
import json
import sys
from pathlib import Path

from mcp import Client, StdioServerParameters

entry = json.loads(Path("mcp.json").read_text())["mcpServers"]["notes"]


async def main(words: list[str]) -> None:
    async with Client(StdioServerParameters(**entry)) as client:
        tools = (await client.list_tools()).tools
        print("tools:", ", ".join(tool.name for tool in tools), flush=True)
        for tool, arguments in zip(words[::2], words[1::2], strict=True):
            result = await client.call_tool(tool, json.loads(arguments))
            print(f"{tool}: {result.content[0].text}", flush=True)


asyncio.run(main(sys.argv[1:]))
