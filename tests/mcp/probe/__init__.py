"""Every feature of MCP, directly and through Hopward: what works, what does not, and why.

    offers, behaviour, task_methods,   a server with every feature, in the eras and over the transports asked
    asked, server                      for
    talk                               a client's end of one session: raw messages over the SDK's transports
    feature, checks, check_*           one check per feature; what it saw is compared with the direct one
    cells, run                         who speaks to whom through which processes, and the verdicts
    gaps                               what does not work, each with its reason
    spec                               what the specification names, to see that nothing is left out

`python -m tests.mcp.probe` writes coverage.json (results), from which docs/reference/mcp-coverage.md is made;
a test runs it all again and compares.
"""
