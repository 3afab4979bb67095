#!/usr/bin/env bash
# Runs inside a machine with the packages of two versions in /tmp: what a person does with them, and what must hold then.
# Called by install.sh. Every check says what it wanted; the first one that fails ends it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
old=0.0.9-1
new=$(cd /tmp && ls warden-agent_*.deb | sort -V | tail -n 1 | cut -d _ -f 2)

say() { echo "  $*"; }
fail() {
    echo "FAILED: $*" >&2
    journalctl -u warden-agent -u warden-coordinator -n 30 --no-pager >&2 || true
    exit 1
}
is() { # WHAT WANTED FOUND
    [ "$2" = "$3" ] || fail "$1: wanted '$2', found '$3'"
}
await() { # WHAT COMMAND…: within 20 s
    local what=$1 until=$((SECONDS + 20))
    shift
    until "$@"; do
        [ $SECONDS -lt $until ] || fail "waited 20 s for: $what"
        sleep 0.1
    done
}
apt() { apt-get -q -y "$@" >/tmp/apt.log 2>&1 || { cat /tmp/apt.log >&2; fail "apt-get $*"; }; }
invocation() { systemctl show --property InvocationID --value toy.service; }
serving() { agentctl status >/dev/null 2>&1; }
asked() { agentctl status --json | jq -r "$1"; }
rule=/etc/polkit-1/rules.d/50-warden-agent.rules

. /etc/os-release
echo "$PRETTY_NAME, systemd $(systemctl --version | awk 'NR == 1 { print $2 }')"

# A service to look after, and somebody else's.
cat >/etc/systemd/system/toy.service <<'UNIT'
[Service]
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory /usr/share/doc 8099
Restart=always
TimeoutStopSec=1s
UNIT
systemctl daemon-reload
systemctl start toy.service

apt install "/tmp/warden-ctl_${old}_amd64.deb" "/tmp/warden-agent_${old}_amd64.deb" "/tmp/warden-coordinator_${old}_amd64.deb"
is "the agent after a fresh install" "active enabled" "$(systemctl is-active warden-agent) $(systemctl is-enabled warden-agent)"
is "the hint socket" enabled "$(systemctl is-enabled warden-agent-hint.socket)"
is "the coordinator, which wants a configuration" "inactive disabled" \
    "$(systemctl is-active warden-coordinator || true) $(systemctl is-enabled warden-coordinator || true)"
getent passwd warden-agent warden-coordinator >/dev/null || fail "users"
getent group warden warden-admin >/dev/null || fail "groups"
await "an answer on the control socket" test -S /run/warden/agent.sock
is "without a configuration it looks after nothing" 0 "$(asked '.services | length')"
grep -qx 'var wardenUnits = \[\];' $rule || fail "without a configuration the rule allows nothing: $(cat $rule)"
# To its end: whoever stops reading ends the writer, and that fails the pipe.
journalctl --list-catalog 2>/dev/null | grep -i warden >/dev/null || fail "journalctl -x knows nothing of Warden"
for file in man/man1/agentctl.1.gz man/man8/warden-agent.8.gz man/man8/warden-coordinator.8.gz \
    bash-completion/completions/agentctl zsh/vendor-completions/_agentctl fish/vendor_completions.d/agentctl.fish; do
    # Machines may be told not to unpack documents.
    dpkg -L warden-ctl warden-agent warden-coordinator | grep -x "/usr/share/$file" >/dev/null || fail "no /usr/share/$file"
done
say "installed: the agent runs and looks after nothing"

# Only root and the two programs may write beside the sockets, or anybody who may ask could add configuration.
useradd --groups warden asker
for folder in /run/warden /run/warden/agent.d /run/warden/coordinator.d; do
    runuser -u asker -- touch $folder/x 2>/dev/null && fail "a member of group warden may write in $folder"
done
runuser -u warden-agent -- touch /run/warden/agent.d/x 2>/dev/null && fail "the agent may configure itself"
runuser -u warden-agent -- mv /run/warden/agent.d /run/warden/other.d 2>/dev/null && fail "the agent may move root's folder"
runuser -u asker -- agentctl status --json >/dev/null || fail "a member of group warden may not ask"
is "who is in no group asks" 2 "$(runuser -u nobody -- agentctl status >/dev/null 2>&1; echo $?)"
# Whatever the order of later runs is, the same comes out.
systemd-tmpfiles --create warden.conf
runuser -u warden-agent -- touch /run/warden/x && rm /run/warden/x || fail "the agent may not write beside its socket"
say "rights of the folders hold"

echo '# an administrator was here' >>/etc/warden/agent.d/10-defaults.toml
cat >/etc/warden/agent.d/50-toy.toml <<'TOML'
[[service]]
unit = "toy.service"
[service.probe.answer]
http = "http://127.0.0.1:8099/"
every = "200ms"
every_in_doubt = "100ms"
timeout = "300ms"
TOML
warden-agent check >/dev/null || fail "the configuration is refused"
is "a new unit" "$rule: written" "$(warden-agent polkit --install)"
is "the same unit" "$rule: says the same already" "$(warden-agent polkit --install)"
systemctl restart warden-agent
await "a serving service" serving
# Its own right, and no other: a frozen service is restarted, and nobody else's is.
before=$(invocation)
kill -STOP "$(systemctl show --property MainPID --value toy.service)"
restarted() { [ "$(invocation)" != "$before" ]; }
await "a restart of the frozen service" restarted
await "a serving service again" serving
if runuser -u warden-agent -- busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 \
    org.freedesktop.systemd1.Manager RestartUnit ss ssh.service replace >/tmp/denied 2>&1; then
    fail "the agent may restart what it is not configured for"
fi
grep -qiE 'denied|authentication' /tmp/denied || fail "another refusal than polkit's: $(cat /tmp/denied)"
say "configured: the agent restarts its unit and may not touch another"

# The upgrade.
printf 'plain = true\n' >/etc/warden/coordinator.d/50-toy.toml
systemctl start warden-coordinator
before=$(invocation) count=$(asked '.services[0].restarts.total')
processes=$(systemctl show --property MainPID --value warden-agent warden-coordinator)
# One after the other, as the Ansible roles do it.
for package in warden-ctl warden-agent warden-coordinator; do apt install "/tmp/${package}_${new}_amd64.deb"; done
is "the versions" "$new $new $new " "$(dpkg-query -W -f '${Version} ' warden-ctl warden-agent warden-coordinator)"
is "both run" "active active" "$(systemctl is-active warden-agent warden-coordinator | paste -sd ' ')"
for process in $(systemctl show --property MainPID --value warden-agent warden-coordinator); do
    grep -qx "$process" <<<"$processes" && fail "process $process of the old version still runs"
done
await "a serving service after the upgrade" serving
is "the service's invocation" "$before" "$(invocation)"
tail -n 1 /etc/warden/agent.d/10-defaults.toml | grep -qx '# an administrator was here' || fail "the changed conffile is not what it was"
[ -e /etc/warden/agent.d/50-toy.toml ] || fail "the configuration is gone"
grep -q '"toy.service"' $rule || fail "the rule forgot the unit: $(cat $rule)"
systemctl stop warden-coordinator
say "upgraded: configuration, state and the service are as they were"

# A configuration with a fault does not keep a package from being installed, and takes no right away.
echo 'nonsense = 1' >/etc/warden/agent.d/90-wrong.toml
apt install --reinstall "/tmp/warden-agent_${new}_amd64.deb"
grep -q 'after mending this, run: warden-agent polkit --install' /tmp/apt.log || fail "the installer says nothing of the fault"
grep -q '"toy.service"' $rule || fail "a fault took the rights away"
rm /etc/warden/agent.d/90-wrong.toml
systemctl restart warden-agent
await "a serving service after the mending" serving
say "a wrong configuration is told by the installer"

apt remove warden-agent
is "the service after the agent has gone" "$before" "$(invocation)"
[ ! -e $rule ] || fail "the rights outlive the program"
[ -e /etc/warden/agent.d/50-toy.toml ] || fail "removing took the configuration"
[ -d /var/lib/warden-agent ] || fail "removing took the state"
apt purge warden-agent warden-coordinator warden-ctl
for path in /etc/warden /var/lib/warden-agent /var/lib/warden-coordinator /run/warden /usr/bin/agentctl; do
    [ ! -e $path ] || fail "purging left $path"
done
getent passwd warden-agent warden-coordinator >/dev/null || fail "purging took the users"
is "the service after all has gone" "active $before" "$(systemctl is-active toy.service) $(invocation)"
is "units that failed" "" "$(systemctl --failed --plain --no-legend)"
is "what dpkg finds fault with" "" "$(dpkg --audit)"
say "removed and purged: nothing is left, and the service did not notice"
