"""Notes: an MCP server with three tools."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("notes", log_level="ERROR")
notes = {"shopping": "milk, bread"}


@server.tool()
async def read_note(title: str) -> str:
    """Read one note."""
    return notes[title]


@server.tool()
async def write_note(title: str, text: str) -> str:
    """Write one note."""
    notes[title] = text
    return f"wrote {title}"


@server.tool()
async def delete_note(title: str) -> str:
    """Delete one note."""
    del notes[title]
    return f"deleted {title}"


server.run()
