"""The server that a command line names. Imported only where it is looked up once, or is not there: comparing
names is slow to import."""

import difflib

from hopward import ConfigError, Settings


def require_server(settings: Settings, server: str) -> None:
    """Raise `ConfigError`, with the nearest name there is, for a server that hopward.toml does not have."""
    if server in settings.servers:
        return
    known = sorted(settings.servers)
    near = difflib.get_close_matches(server, known, 1)
    told = f"; did you mean {near[0]!r}?" if near else "."
    raise ConfigError(
        f"There is no server {server!r} in hopward.toml{told}",
        advice=f"Configured: {', '.join(known) or 'none'}",
    )
