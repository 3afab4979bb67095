#!/usr/bin/env bash
# Sets up the stand on machines that are there already: deploy.sh INVENTORY VARIABLES [ARGUMENT OF ANSIBLE…]. Called by the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."
inventory=${1:-} variables=${2:-}
explain() {
    echo "$1" >&2
    echo "usage: make deploy INVENTORY=hosts.yml VARS=stand.yml; docs/deploying.md says what goes into both" >&2
    exit 1
}
[ -e "$inventory" ] || explain "there is no inventory '$inventory'"
[ -f "$variables" ] || explain "there is no file '$variables' with the stand's variables; begin with a copy of ansible/stand.example.yml"
shift 2
inventory=$(realpath "$inventory") variables=$(realpath "$variables")
begin=$SECONDS
say() { printf '%4d s  %s\n' $((SECONDS - begin)) "$*"; }
make --no-print-directory .venv/.ready
say "building agent and coordinator, and packing them"
mkdir -p target/deploy
tests/debs.sh >target/deploy/build.log 2>&1 || { tail -n 30 target/deploy/build.log >&2; exit 1; }
export ANSIBLE_CONFIG=$PWD/ansible/ansible.cfg
say "waiting for the machines, five minutes at most"
.venv/bin/ansible -i "$inventory" all -m ansible.builtin.wait_for_connection -a timeout=300 >target/deploy/reached.log || { cat target/deploy/reached.log >&2; exit 1; }
say "configuring them"
.venv/bin/ansible-playbook -i "$inventory" ansible/site.yml -e "@$variables" "$@"
say "the stand is up; whether it keeps what it promises: make check-stand ADDRESS=… (its balancer)"
