# Makes a self-signed certificate. $1: the file, $2: its subject, $3: its other names.
set -eu
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 \
    -subj "/CN=$2" -addext "subjectAltName=$3" -keyout "$work/key" -out "$work/certificate" 2>"$work/said" || {
    cat "$work/said" >&2
    exit 1
}
# Under its name only when it is whole.
cat "$work/certificate" "$work/key" >"$1.new"
mv "$1.new" "$1"
