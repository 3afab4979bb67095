# Waits until every server of a backend takes traffic. $1: the backend, $2: seconds.
# A server that a person has put into maintenance or drain is that person's.
set -eu
admin=/run/haproxy/admin.sock
waiting() {
    echo "show servers state $1" | socat -t2 - "UNIX-CONNECT:$admin" |
        awk 'NR > 2 && NF && $6 != 2 && $7 % 64 == 0 { print $4 }'
}
deadline=$(($(date +%s) + $2))
while left=$(waiting "$1") && [ -n "$left" ]; do
    if [ "$(date +%s)" -gt "$deadline" ]; then
        echo "not in rotation after $2 s:" $left >&2
        echo "show stat $1 4 -1" | socat -t2 - "UNIX-CONNECT:$admin" | cut -d, -f2,18,37,57,66 >&2
        exit 1
    fi
    sleep 0.2
done
