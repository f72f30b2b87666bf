"""AgentDojo's banking and slack suites, replayed without a model: `python -m tests.agentdojo` runs all of it.

`world.py` runs in AgentDojo's own environment and is a real MCP server over one of its worlds; `plan.py` says
which calls a run makes, `replay.py` makes them through `hopward mcp run`, `measured.py` counts, and `page.py`
writes docs/security/agentdojo.md.
"""
