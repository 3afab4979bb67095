#!/usr/bin/env bash
# Runs tests of a package on a machine of the lab that is up: on-machine.sh MACHINE PACKAGE TEST-ARGUMENT…
#   db-1 warden-agent --ignored lab_          what needs a machine that systemd has booted; db-1 has no agent of its own
#   lb-1 warden-coordinator haproxy_contract haproxy_traps
#                                             the runtime socket, of Debian 13's HAProxy; elsewhere it is this computer's
set -euo pipefail
cd "$(dirname "$0")/.."
machine=$1 package=$2
shift 2
lab=target/release/warden-lab
# The same binaries as those of the unit tests: nothing is built twice.
binary=$(cargo nextest list --workspace --locked --list-type binaries-only --message-format json 2>/dev/null |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["rust-binaries"][sys.argv[1] + "::it"]["binary-path"])' "$package") ||
    { echo "the tests of $package were not built: cargo nextest list --workspace says why" >&2; exit 1; }
"$lab" exec "$machine" -- sh -c 'cat > /run/warden-tests && chmod 700 /run/warden-tests' <"$binary"
trap '"$lab" exec "$machine" -- rm -f /run/warden-tests' EXIT
"$lab" exec "$machine" -- /run/warden-tests "$@" --test-threads 1
