"""Every feature of MCP, directly and through Hopward: what works, what does not, and why.

    offers, behaviour, long, server   a server with every feature, in the eras and over the transports asked for
    talk                              a client's end of one session: raw messages over the SDK's transports
    feature, features/                one check per feature; what it saw is compared with what it saw directly
    guarded                           what the guard changes, exactly
    cells, run                        who speaks to whom through which processes, and the verdict of each check
    gaps                              what does not work, each with its reason
    spec                              what the specification names, to see that nothing is left out

`python -m tests.mcp.probe` writes coverage.json, from which docs/reference/mcp-coverage.md is made; a test
runs it all and compares.
"""
