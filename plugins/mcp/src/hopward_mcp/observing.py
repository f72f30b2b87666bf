"""What is said of servers that are observed: at the start, and in the result of each such call. And at the
start, what an external authorization server cannot do.
"""

import time
from typing import cast

import click

from hopward import Decision, Settings
from hopward_mcp.jsonrpc import Body
from hopward_mcp.replies import DECISION_KEY, why_refused


def observing(settings: Settings, server: str) -> str:
    """What there is to say of a server that is observed at present, or was until a day that is past."""
    return settings.servers[server].observing(time.time_ns() // 1_000)


def announce(settings: Settings, only: str = "") -> None:
    """Say on stderr which servers are observed, or were: `only` one of them, or any."""
    for server in [only] if only else settings.servers:
        told = observing(settings, server)
        if told:
            click.echo(f"hopward: {server} is {told}.", err=True)


def announce_lacking(settings: Settings, only: str = "") -> None:
    """Say on stderr what the authorization servers of `only` one server, or any, cannot do."""
    names = [only] if only else list(settings.servers)
    used = {settings.servers[name].credential.authorization_server for name in names}
    for name in sorted(used - {""}):
        for lack in settings.authorization_servers[name].lacking():
            click.echo(f"hopward: {name} {lack}.", err=True)


def marked(result: Body, decision: Decision | None) -> Body:
    """A result that says in `_meta` what would have been decided; the same object unless it was observed."""
    if decision is None or not decision.observed:
        return result
    meta = result.get("_meta")
    kept = cast("Body", meta) if isinstance(meta, dict) else {}
    return {**result, "_meta": {**kept, DECISION_KEY: {**why_refused(decision), "observed": True}}}
