# Restarts bingo as its agent does it by plan (out of rotation, requests in flight waited for), and waits until it serves again.
# $1: its port. $2: how many nodes there are; the only one has nobody to take its place and is restarted at once.
set -eu
systemctl daemon-reload
systemctl is-active --quiet bingo.service || exit 0

instance() { systemctl show --property=InvocationID --value bingo.service; }
restarted() { [ "$(instance)" != "$before" ]; }
fit() {
    [ "$(curl --silent --max-time 1 "http://127.0.0.1:$1/ping")" = pong ] || return 1
    ! systemctl is-active --quiet warden-agent.service || agentctl status >/dev/null
}

before=$(instance)
# The agent gives up when the floor forbids it, as while the node before this one is on its way back: it is asked again.
deadline=$(($(date +%s) + 180))
until restarted; do
    if [ "$2" = 1 ] || ! systemctl is-active --quiet warden-agent.service; then
        systemctl restart bingo.service
        break
    fi
    code=0
    said=$(agentctl restart bingo.service --reason "changed by the playbook" 2>&1) || code=$?
    if [ "$code" = 64 ]; then # the agent does not look after it yet
        systemctl restart bingo.service
        break
    fi
    if [ "$(date +%s)" -gt "$deadline" ]; then
        echo "bingo has not left the rotation within three minutes: $said" >&2
        agentctl explain bingo.service >&2 || true
        echo "the same command again goes on from here; agentctl restart --now on this machine does not wait" >&2
        exit 1
    fi
    sleep 1
done
echo restarted
deadline=$(($(date +%s) + 120))
until fit "$1"; do
    if [ "$(date +%s)" -gt "$deadline" ]; then
        echo "bingo did not serve again within two minutes; the other machines were left as they are" >&2
        exit 1
    fi
    sleep 0.2
done
