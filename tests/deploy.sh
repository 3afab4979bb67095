#!/usr/bin/env bash
# Brings up the Bingo stand: builds, boots machines, configures them. Called by the Makefile: deploy.sh NODES SCALE SUITE.
set -euo pipefail
cd "$(dirname "$0")/.."
nodes=$1 scale=$2 suite=$3
lab=target/release/warden-lab
logs=target/deploy
begin=$SECONDS
mkdir -p "$logs"

say() { printf '%4d s  %s\n' $((SECONDS - begin)) "$*"; }
fail() {
    echo "$1 failed; the end of its log:" >&2
    tail -n 30 "$2" >&2
    exit 1
}
idle() { # NODE: waits until HAProxy has no request with it any more
    local deadline=$((SECONDS + 60))
    # It ends with 1 while somebody is out, as is wanted here.
    until { "$lab" exec lb-1 -- agentctl fleet status --json || true; } | python3 -c '
import json, sys
servers = [server for backend in json.load(sys.stdin)["backends"] for server in backend["servers"] if server["name"] == sys.argv[1]]
sys.exit(any(server["traffic"]["confirmed"] != "out" or server["traffic"].get("sessions") != 0 for server in servers))' "$1"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.5
    done
}
jobs_of_ours=()
stop() { for job in "${jobs_of_ours[@]}"; do kill "$job" 2>/dev/null || true; done; }
trap stop EXIT

# Ansible arrives from the network while the compiler works.
make --no-print-directory .venv/.ready >"$logs/venv.log" 2>&1 &
venv=$!
jobs_of_ours+=("$venv")

say "building the lab"
cargo build --release --locked --quiet -p warden-lab
say "building agent, coordinator and stand-in beside the boot, and packing them"
tests/debs.sh >"$logs/build.log" 2>&1 &
build=$!
jobs_of_ours+=("$build")

# Fewer nodes than there are: the surplus gets no new requests, finishes those it has, and is gone after that.
surplus=()
while "$lab" exec "bingo-$((nodes + 1 + ${#surplus[@]}))" -- true 2>/dev/null; do surplus+=("bingo-$((nodes + 1 + ${#surplus[@]}))"); done
for node in "${surplus[@]}"; do
    say "draining $node, which is to go"
    if ! "$lab" exec lb-1 -- agentctl fleet drain "$node" --reason "taken away" || ! idle "$node"; then
        echo "$node cannot be drained. Once it may go all the same: $lab up --nodes $nodes, then the same command again" >&2
        exit 1
    fi
done

"$lab" up --nodes "$nodes" --suite "$suite"
say "machines are up"
wait "$build" || fail "the build" "$logs/build.log"
say "packages are built"
wait "$venv" || fail "installing Ansible" "$logs/venv.log"
jobs_of_ours=()

say "configuring the machines; the database is filled with $(awk -v s="$scale" 'BEGIN { printf "%d", 5000000 * s }') sessions"
"$lab" ns -- tests/ansible.sh -e "bingo_scale=$scale" ${DEPLOY_VARS:-}
# HAProxy knows them no longer. A node of that name that comes later is nobody's to keep out.
for node in "${surplus[@]}"; do "$lab" exec lb-1 -- agentctl fleet undrain "$node"; done

say "waiting for the fleet to prove itself"
# agentctl ends with 0 once every server is fit and in rotation.
deadline=$((SECONDS + 180))
until "$lab" exec lb-1 -- agentctl fleet status >"$logs/fleet" 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
        cat "$logs/fleet" >&2
        echo "the fleet is not whole after 180 s; look with: $lab exec bingo-1 -- agentctl status" >&2
        exit 1
    fi
    sleep 0.5
done
"$lab" exec lb-1 -- agentctl fleet status
cat <<TEXT

The Bingo stand is up after $((SECONDS - begin)) s.

  http://127.0.0.1:8080/ and https://127.0.0.1:8443/   bingo through the balancer (self-signed certificate)
  http://127.0.0.1:8404/                               HAProxy's statistics
  http://127.0.0.1:7480/                               the live page (and /metrics)
  http://127.0.0.1:9090/ and http://127.0.0.1:9093/    Prometheus and Alertmanager

Try this next: make a node sick and watch it leave, restart and come back.

  curl -d '{"operation": 21474836481}' http://127.0.0.1:8080/operation
  $lab exec bingo-1 -- agentctl status
  $lab exec lb-1 -- watch -n1 agentctl fleet status

Whether it keeps what its users were promised, faults included (five minutes): make check-stand
make clean takes everything down again.
TEXT
