#!/usr/bin/env bash
# Installs the PyPI server "mcp-server-git" in an environment of its own under .cache/servers and prints the
# command that starts it. With --if-present it installs nothing and fails where the server is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=2026.10.19
folder=$PWD/.cache/servers/git
stamp=$folder/$version.stamp
python=$PWD/.venv/bin/python

if [ ! -f "$stamp" ]; then
    [ "${1:-}" != --if-present ] || exit 1
    [ -x "$python" ] || python=${PYTHON:-python3}
    "$python" -m venv --clear "$folder"
    "$folder/bin/python" -m pip --quiet --disable-pip-version-check --no-input \
        install "mcp-server-git==$version" >&2
    touch "$stamp"
fi
echo "$folder/bin/mcp-server-git"
