#!/usr/bin/env bash
# Installs both generations of npm's TypeScript SDK under .cache/servers and prints how to start a script with Node,
# and a file from whose place it finds them. With --if-present it installs nothing and fails where they are missing.
exec "$(dirname "$0")/npm.sh" typescript package.json \
    @modelcontextprotocol/sdk@1.32.2 @modelcontextprotocol/client@2.4.0 "$@"
