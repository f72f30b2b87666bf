#!/usr/bin/env bash
# go.sh FOLDER MODULE@VERSION PACKAGE... [--if-present]
# Builds commands of a Go module under .cache/servers/FOLDER and prints their paths, one a line. With --if-present it
# builds nothing and fails where they are missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$PWD/.cache/servers/$1 module=${2%@*} version=${2##*@}
shift 2
if [ "${!#}" = --if-present ]; then
    if_present=yes
    set -- "${@:1:$#-1}"
fi
stamp=$folder/$version.stamp

if [ ! -f "$stamp" ]; then
    [ -z "${if_present:-}" ] || exit 1
    command -v go >/dev/null || { echo "go is missing, so $module $version was not built" >&2; exit 1; }
    rm -rf "$folder/module"
    mkdir -p "$folder/module"
    packages=("${@/#/$module/}")
    (
        # A module of its own: "go install PACKAGE@VERSION" asks for the list of versions, which not every proxy has.
        cd "$folder/module"
        go mod init servers 2>/dev/null
        go get -tool "${packages[@]/%/@$version}" 2>/dev/null
        # One package at a time, at low priority: it takes minutes, and other work goes on beside it.
        GOBIN=$folder nice go install -p 1 -trimpath "${packages[@]}" >&2
    )
    touch "$stamp"
fi
for package in "$@"; do
    echo "$folder/${package##*/}"
done
