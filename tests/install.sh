#!/usr/bin/env bash
# Installs, runs, upgrades and purges the packages on a machine of that Debian: install.sh bookworm|trixie.
# The packages come from target/package (debs.sh, debs.sh 0.0.9-1). Boots a lab of its own and takes it down.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=$1
lab=target/release/warden-lab
old=target/package/0.0.9-1
"$lab" up --nodes 1 --suite "$suite"
trap '"$lab" down' EXIT
tar -C target/package --create --file - --transform 's,.*/,,' \
    $(cd target/package && ls ./*.deb) $(cd target/package && ls "${old##*/}"/*.deb) |
    "$lab" exec bingo-1 -- tar -C /tmp --extract --no-same-owner --file -
"$lab" exec bingo-1 -- bash -s <tests/installed.sh
