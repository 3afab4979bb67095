# A certificate for one end. $1: the CA's folder, $2: its file there, $3: whom it names, $4: serverAuth or clientAuth, $5: subject
# alternative names, $6: days, $7: renewed so many days before its end, $8: `true`: renewed in any case. Says so; silent when the
# one there is good.
set -eu
umask 077
cd "$1"
asked="$4 $5"
if [ "$8" != true ] && [ -e "$2.key" ] && [ "$(cat "$2.asked" 2>/dev/null)" = "$asked" ] &&
    openssl verify -CAfile authority.pem "$2.pem" >/dev/null 2>&1 &&
    openssl x509 -in "$2.pem" -noout -checkend $(($7 * 86400)) >/dev/null; then
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/config" <<CONFIG
[req]
distinguished_name = name
prompt = no
[name]
CN = $(printf %.64s "$3")
[end]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = $4
subjectAltName = $5
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CONFIG
{
    openssl req -new -config "$work/config" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key" -out "$work/request" &&
        openssl x509 -req -in "$work/request" -CA authority.pem -CAkey authority.key -set_serial "0x$(openssl rand -hex 16)" \
            -days "$6" -sha256 -extfile "$work/config" -extensions end -out "$work/pem"
} 2>"$work/said" || {
    cat "$work/said" >&2
    exit 1
}
# The mark of what was asked comes last: without it, all of this is done again.
rm -f "$2.asked"
mv "$work/key" "$2.key"
mv "$work/pem" "$2.pem"
echo "$asked" >"$2.asked"
echo "issued: $2"
