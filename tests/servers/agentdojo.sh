#!/usr/bin/env bash
# Installs AgentDojo and the MCP SDK that serves its tools, in an environment of its own under .cache, and prints its
# interpreter. With --if-present it installs nothing and fails where it is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

pins=tests/servers/agentdojo.txt
folder=$PWD/.cache/servers/agentdojo
stamp=$folder/$(sha256sum <"$pins" | cut -c1-16).stamp
python=$PWD/.venv/bin/python

if [ ! -f "$stamp" ]; then
    [ "${1:-}" != --if-present ] || exit 1
    [ -x "$python" ] || python=${PYTHON:-python3}
    "$python" -m venv --clear "$folder"
    "$folder/bin/python" -m pip --quiet --disable-pip-version-check --no-input install --requirement "$pins" >&2
    touch "$stamp"
fi
echo "$folder/bin/python"
