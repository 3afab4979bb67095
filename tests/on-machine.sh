#!/usr/bin/env bash
# Runs the tests that need a machine that systemd has booted on one: db-1 of the lab that is up, which has no agent of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
lab=target/release/warden-lab
binary=$(cargo test -p warden-agent --test it --locked --no-run --message-format=json 2>/dev/null | python3 -c '
import json, sys
for line in sys.stdin:
    artefact = json.loads(line)
    if artefact.get("executable") and artefact["target"]["name"] == "it":
        print(artefact["executable"])')
[ -n "$binary" ] || { echo "the tests of warden-agent were not built" >&2; exit 1; }
"$lab" exec db-1 -- sh -c 'cat > /run/agent-tests && chmod 700 /run/agent-tests' <"$binary"
trap '"$lab" exec db-1 -- rm -f /run/agent-tests' EXIT
"$lab" exec db-1 -- /run/agent-tests --ignored lab_ --test-threads 1
