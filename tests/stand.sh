#!/usr/bin/env bash
# A fresh stand for the scenarios: two nodes, a hundredth of the database.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet -p warden-lab
target/release/warden-lab down
exec tests/deploy.sh 2 0.01 trixie
