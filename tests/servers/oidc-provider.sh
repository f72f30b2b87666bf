#!/usr/bin/env bash
# Installs npm's oidc-provider under .cache/servers and prints the command that starts tests/servers/oidc-provider.mjs
# with it; the configuration, JSON, is one more argument. With --if-present it installs nothing and fails where it is
# missing.
set -euo pipefail

found=$("$(dirname "$0")/npm.sh" oidc-provider lib/index.js oidc-provider@9.13.3 "$@")
here=$(cd "$(dirname "$0")" && pwd)
echo "${found%% *} $here/oidc-provider.mjs ${found#* }"
