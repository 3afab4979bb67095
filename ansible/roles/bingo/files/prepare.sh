# Starts prepare_db in a unit of its own: it outlives a broken connection, and what it says
# is in the journal. What an earlier try has left of that unit is cleared away.
# $1: share of the full data set, which only the stand-in heeds.
set -eu
systemctl stop bingo-prepare.service 2>/dev/null || true
systemctl reset-failed bingo-prepare.service 2>/dev/null || true
exec systemd-run --quiet --no-block --unit=bingo-prepare.service --description='bingo prepare_db' \
    --service-type=oneshot --remain-after-exit --uid=bingo --gid=bingo --working-directory=/opt/bingo \
    --property=EnvironmentFile=-/etc/bingo-standin.env --property=TimeoutStartSec=1h --setenv=BINGO_STANDIN_SCALE="$1" \
    /opt/bingo/bingo prepare_db
