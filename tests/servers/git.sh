#!/usr/bin/env bash
# Installs the PyPI server "mcp-server-git" in an environment of its own under .cache/servers and prints the
# command that starts it. With --if-present it installs nothing and fails where the server is missing.
exec "$(dirname "$0")/pypi.sh" git mcp-server-git==2026.10.19 "$@"
