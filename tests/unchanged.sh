#!/usr/bin/env bash
# The playbook's second run must change nothing on any machine, and neither must one that only looks (--check --diff).
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for mode in "" "--check --diff"; do
    # shellcheck disable=SC2086  # two words or none
    target/release/warden-lab ns -- tests/ansible.sh -e bingo_scale=0.01 -e @../tests/scenarios/stand.yml $mode | tee "$log"
    recap=$(sed -n '/^PLAY RECAP/,$p' "$log" | grep -E 'changed=')
    [ -n "$recap" ] || { echo "no recap: nothing ran" >&2; exit 1; }
    if grep -vqE 'changed=0 .*failed=0' <<<"$recap"; then
        echo "a second run ${mode:-}changed something:" >&2
        grep -E '^changed:' "$log" >&2 || true
        exit 1
    fi
done
