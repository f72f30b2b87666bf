#!/usr/bin/env bash
# Installs the MCP Inspector (npm) under .cache/servers and prints the command that starts it.
# With --if-present it installs nothing and fails where it is missing.
exec "$(dirname "$0")/npm.sh" inspector clients/launcher/build/index.js @modelcontextprotocol/inspector@2.12.0 "$@"
