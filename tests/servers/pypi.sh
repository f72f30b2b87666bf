#!/usr/bin/env bash
# pypi.sh FOLDER PACKAGE==VERSION [--if-present]
# Installs a PyPI package in an environment of its own under .cache/servers/FOLDER and prints its command.
# With --if-present it installs nothing and fails where the package is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$PWD/.cache/servers/$1
stamp=$folder/${2#*==}.stamp
python=$PWD/.venv/bin/python

if [ ! -f "$stamp" ]; then
    [ "${3:-}" != --if-present ] || exit 1
    [ -x "$python" ] || python=${PYTHON:-python3}
    "$python" -m venv --clear "$folder"
    "$folder/bin/python" -m pip --quiet --disable-pip-version-check --no-input install "$2" >&2
    touch "$stamp"
fi
echo "$folder/bin/${2%%==*}"
