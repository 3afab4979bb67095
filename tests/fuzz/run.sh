#!/usr/bin/env bash
# Fuzzes every target, guided by coverage, for SECONDS each (default 60), on the stable toolchain. Called by the Makefile.
# What is found lies in target/fuzz/found/; move it to tests/fuzz/regressions/TARGET/ with its fix.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
host=$(rustc -vV | sed -n 's/^host: //p')
# The coverage that libFuzzer asks for, by options of the stable compiler. An explicit target keeps it out of build scripts.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
echo "building the targets with coverage"
cargo build --quiet --locked --profile fuzz -p warden-fuzz --features coverage --target "$host" --target-dir target/fuzz
program=target/fuzz/$host/fuzz/warden-fuzz
mkdir -p target/fuzz/found
failed=()
for seeds in tests/fuzz/seeds/*/; do
    target=$(basename "$seeds")
    corpus=target/fuzz/corpus/$target
    mkdir -p "$corpus"
    echo "$target, $seconds s"
    regressions=(tests/fuzz/regressions/"$target")
    [ -d "${regressions[0]}" ] || regressions=()
    if ! WARDEN_FUZZ_TARGET=$target "$program" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="target/fuzz/found/$target-" "$corpus" "$seeds" "${regressions[@]}" >"target/fuzz/$target.log" 2>&1; then
        failed+=("$target")
        tail -n 40 "target/fuzz/$target.log"
    fi
    grep -E 'number_of_executed_units|new_units_added|peak_rss_mb' "target/fuzz/$target.log" | sed 's/^stat::/  /' || true
    grep -E 'DONE' "target/fuzz/$target.log" | tail -n 1 | sed 's/^/  /' || true
done
if [ ${#failed[@]} != 0 ]; then
    echo "found something in: ${failed[*]} (target/fuzz/found/)"
    exit 1
fi
echo "nothing found"
