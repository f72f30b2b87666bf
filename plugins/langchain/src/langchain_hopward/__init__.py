"""Hopward for LangChain. This release only reserves the name; the handler and middleware are being built.

Until they land, nothing in this package guards anything: put MCP tools behind `hopward mcp` instead.
"""

__all__: list[str] = []

__version__ = "0.1.0"
