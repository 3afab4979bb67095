#!/usr/bin/env bash
# Runs the tests and prints a summary with counts. Called by the Makefile: run.sh all|fast.
# Every step runs, also after one has failed; the exit code tells whether all passed.
set -uo pipefail
cd "$(dirname "$0")/.."
what=$1
lab=target/release/warden-lab
logs=target/test-logs
mkdir -p "$logs"
begin=$SECONDS
names=() results=() passed=0 failed=0

step() { # NAME COMMAND…: runs it, shows its output, remembers how it went
    local name=$1 started=$SECONDS log="$logs/${1// /-}.log" code=0
    shift
    echo
    echo "==> $name"
    # Nothing may come between the pipe and the look at how it ended.
    "$@" 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    local took=$((SECONDS - started)) count
    # The closing lines of nextest and of a test binary count tests; any other step is one check.
    count=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | sed -nE 's/.*Summary \[[^]]*\] +([0-9]+)(\/[0-9]+)? tests? run: ([0-9]+) passed.*/\1 \3/p' | tail -n 1)
    if [ -z "$count" ]; then
        count=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed;.*/\1 \2/p' "$log" | awk '{ print $1 + $2, $1 }' | tail -n 1)
    fi
    if [ -n "$count" ]; then
        read -r ran ok <<<"$count"
    else
        ran=1 ok=$((code == 0 ? 1 : 0))
    fi
    passed=$((passed + ok))
    failed=$((failed + ran - ok))
    if [ "$code" != 0 ] && [ "$ran" = "$ok" ]; then failed=$((failed + 1)); fi
    names+=("$name")
    results+=("$([ "$code" = 0 ] && echo ok || echo FAILED) $ok/$ran in $took s")
    return "$code"
}

# What Debian's checker finds in a package. That no report of somebody's intent to package Warden is closed is as it should be.
lint_packages() { lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs --allow-root target/package/*.deb; }
# What only computes runs beside what mostly waits, with what that leaves of the processor: in a session of its own, because the kernel
# shares out processor time among sessions first, and to be ended as a whole.
others=()
trap 'for session in "${others[@]}"; do kill -- "-$session" 2>/dev/null; done' EXIT
beside() { # LOG COMMAND…: its process is $!
    local log="$logs/$1.log"
    shift
    # shellcheck disable=SC2016  # for the inner shell
    setsid bash -c 'echo 19 2>/dev/null >/proc/self/autogroup; exec nice -n 19 "$@"' beside "$@" >"$log" 2>&1 &
    others+=($!)
}
said() { # LOG HOW IT ENDED
    cat "$logs/$1.log"
    return "$2"
}
ship() { cargo build --release --locked --quiet -p warden-lab && tests/debs.sh; }
export -f ship
# Its own formatter is not to be had from Debian: where it is, it is asked.
terraform_files() {
    .venv/bin/python terraform/tests/check.py || return 1
    if command -v terraform >/dev/null; then
        terraform fmt -check -diff terraform && echo "formatted as terraform does it"
    else
        echo "no terraform here: the format was not looked at"
    fi
}
# As `make check-stand` does, by the binary that the unit tests have built.
promises() { "$lab" ns -- target/debug/check-stand --address 198.18.0.10 --lab --prometheus 198.18.0.6:9090 --short --seconds 5; }
lint_roles() { (cd ansible && ../.venv/bin/ansible-lint --offline --profile production); }

clippy=(cargo clippy --workspace --all-targets --locked)

step "format" cargo fmt --all --check
if [ "$what" = fast ]; then step "clippy" "${clippy[@]}" -- -D warnings; fi
step "build of the tests" cargo nextest run --workspace --locked --no-run
if [ "$what" = all ]; then
    beside shipped bash -c ship
    shipping=$!
fi
step "unit and property tests" cargo nextest run --workspace --locked
step "ansible-lint" lint_roles
step "dashboard" .venv/bin/python monitoring/dashboard.py --check
step "terraform" terraform_files
if [ "$what" = all ]; then
    wait "$shipping"
    step "what is shipped" said shipped $?
    # In a folder of its own: whoever compiles holds up whoever only looks whether there is something to compile.
    beside linted "${clippy[@]}" --quiet --target-dir target/clippy -- -D warnings
    linting=$!
    # The lab's own tests boot and break labs; what was up before is taken down.
    "$lab" down
    step "lab" cargo nextest run -p warden-lab --locked --profile lab
    if step "packages of another version" tests/debs.sh 0.0.9-1; then
        step "lintian" lint_packages
        step "install on Debian 12" tests/install.sh bookworm
        step "install on Debian 13" tests/install.sh trixie
    fi
    # Scenarios want a stand of their own, small and quick.
    if step "stand" env DEPLOY_VARS="-e @../tests/scenarios/stand.yml" tests/stand.sh; then
        step "second run changes nothing" tests/unchanged.sh
        step "agent on real systemd" tests/on-machine.sh db-1 warden-agent --ignored lab_
        step "contract on HAProxy 3.0" tests/on-machine.sh lb-1 warden-coordinator haproxy_contract haproxy_traps
        step "promises to users" promises
        step "scenarios" cargo nextest run --workspace --exclude warden-lab --locked --profile lab
    else
        failed=$((failed + 1))
    fi
    step "take down" "$lab" down
    wait "$linting"
    step "clippy" said linted $?
fi

echo
echo "Summary after $((SECONDS - begin)) s"
for index in "${!names[@]}"; do printf '  %-30s %s\n' "${names[$index]}" "${results[$index]}"; done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
