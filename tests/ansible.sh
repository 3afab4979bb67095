#!/usr/bin/env bash
# Runs the playbook against the lab. Must run inside the lab's network (warden-lab ns -- …). Arguments go to ansible-playbook.
set -euo pipefail
cd "$(dirname "$0")/../ansible"
exec ../.venv/bin/ansible-playbook -i inventories/lab site.yml "$@"
