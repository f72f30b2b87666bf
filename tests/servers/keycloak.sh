#!/usr/bin/env bash
# Installs Keycloak (Maven Central) under .cache/servers/keycloak, built for a fast start, and prints the command that
# starts it; --http-port and --hostname are two more arguments. Everything it stores is in memory. With --if-present it
# installs nothing and fails where it is missing. Needs Java 17 or newer, and mvn to install.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=26.7.3
sha256=77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47
features=token-exchange-delegation,parameterized-scopes,identity-assertion-jwt,ssf,spiffe
folder=$PWD/.cache/servers/keycloak
home=$folder/keycloak-$version
stamp=$folder/$version-$(sha256sum <"$0" | cut -c1-16).stamp

if [ ! -f "$stamp" ]; then
    [ "${1:-}" != --if-present ] || exit 1
    for tool in java mvn; do
        command -v "$tool" >/dev/null || { echo "$tool is missing (on Debian: apt-get install maven)" >&2; exit 1; }
    done
    rm -rf "$folder"
    mkdir -p "$folder"
    mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        "-Dartifact=org.keycloak:keycloak-quarkus-dist:$version:tar.gz" "-DoutputDirectory=$folder" >&2
    archive=$folder/keycloak-quarkus-dist-$version.tar.gz
    echo "$sha256  $archive" | sha256sum --check --quiet >&2
    tar --extract --gzip --file "$archive" --directory "$folder"
    rm "$archive"
    "$home/bin/kc.sh" build --db=dev-mem --health-enabled=true "--features=$features" >&2
    touch "$stamp"
fi
echo "env KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=admin JAVA_OPTS_APPEND=-XX:TieredStopAtLevel=1" \
    "$home/bin/kc.sh start --optimized --cache=local --http-enabled=true --http-host=127.0.0.1 --http-management-port=0"
