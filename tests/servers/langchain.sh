#!/usr/bin/env bash
# Installs the oldest supported release of LangChain, and langchain-mcp-adapters with mcp 1.x, in an environment of its
# own under .cache, and prints its interpreter. With --if-present it installs nothing and fails where it is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

pins=tests/servers/langchain.txt
folder=$PWD/.cache/servers/langchain
stamp=$folder/$(cat "$pins" packages/hopward/pyproject.toml plugins/langchain/pyproject.toml | sha256sum | cut -c1-16).stamp
python=$PWD/.venv/bin/python

if [ ! -f "$stamp" ]; then
    [ "${1:-}" != --if-present ] || exit 1
    [ -x "$python" ] || python=${PYTHON:-python3}
    "$python" -m venv --clear "$folder"
    "$folder/bin/python" -m pip --quiet --disable-pip-version-check --no-input \
        install --requirement "$pins" --editable packages/hopward --editable plugins/langchain >&2
    touch "$stamp"
fi
echo "$folder/bin/python"
