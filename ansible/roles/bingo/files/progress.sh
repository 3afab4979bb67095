# Waits for prepare_db, ten seconds at most. Says `done`, or its last line so far.
set -eu
state() { systemctl show --property=ActiveState --value bingo-prepare.service; }
i=0
while [ "$(state)" = activating ] && [ "$i" -lt 50 ]; do
    sleep 0.2
    i=$((i + 1))
done
case $(state) in
active) echo done ;;
activating) journalctl --quiet --unit=bingo-prepare.service --lines=1 --output=cat ;;
*)
    echo "prepare_db failed; its last words:" >&2
    journalctl --quiet --unit=bingo-prepare.service --lines=20 --output=cat >&2
    exit 1
    ;;
esac
