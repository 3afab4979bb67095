#!/usr/bin/env bash
# Installs those of the given Debian packages that are missing. Says what it does; silent when there is nothing to do.
set -euo pipefail
missing=()
for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "These Debian packages are missing, and installing them needs root: ${missing[*]}" >&2
    exit 1
fi
echo "installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
trap 'rm -f "$log"; [ -z "${ours:-}" ] || rm -f "$policy"' EXIT
# Only the programs are wanted: a database or a balancer must not start on this computer because a test needs its binary.
if [ ! -e "$policy" ]; then
    ours=1
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
# The lists may be old or absent on a fresh machine; a second try after an update settles it.
if ! apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    apt-get update >>"$log" 2>&1 || true
    apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
fi
