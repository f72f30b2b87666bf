#!/usr/bin/env bash
# Builds SPIRE's server and agent (Go modules) under .cache/servers and prints their paths. With --if-present it
# builds nothing and fails where they are missing.
exec "$(dirname "$0")/go.sh" spire github.com/spiffe/spire@v1.13.3 cmd/spire-server cmd/spire-agent "$@"
