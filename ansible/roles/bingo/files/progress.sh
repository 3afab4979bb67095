# Waits for prepare_db, ten seconds at most. Says `done`, or its last line so far.
set -eu
state() { systemctl show --property=ActiveState --value bingo-prepare.service; }
deadline=$(($(date +%s) + 10))
while [ "$(state)" = activating ] && [ "$(date +%s)" -lt "$deadline" ]; do
    sleep 0.5
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
