#!/usr/bin/env bash
# Installs the npm server "memory" under .cache/servers and prints the command that starts it.
# With --if-present it installs nothing and fails where the server is missing.
exec "$(dirname "$0")/npm.sh" memory dist/index.js @modelcontextprotocol/server-memory@2026.8.31 "$@"
