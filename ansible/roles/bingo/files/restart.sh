# Restarts bingo and waits until it serves again. $1: its port.
set -eu
systemctl daemon-reload
systemctl is-active --quiet bingo.service || exit 0
systemctl restart bingo.service
echo restarted
fit() {
    [ "$(curl --silent --max-time 1 "http://127.0.0.1:$1/ping")" = pong ] || return 1
    ! systemctl is-active --quiet warden-agent.service || agentctl status >/dev/null
}
deadline=$(($(date +%s) + 120))
until fit "$1"; do
    if [ "$(date +%s)" -gt "$deadline" ]; then
        echo "bingo did not serve again within two minutes; the other machines were left as they are" >&2
        exit 1
    fi
    sleep 0.2
done
