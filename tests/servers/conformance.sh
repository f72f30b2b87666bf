#!/usr/bin/env bash
# Installs the official MCP conformance suite (npm) under .cache/servers and prints the command that starts it.
# With --if-present it installs nothing and fails where the suite is missing.
exec "$(dirname "$0")/npm.sh" conformance dist/index.js @modelcontextprotocol/conformance@0.2.0-alpha.12 "$@"
