# The CA for agents and coordinators. $1: its folder, $2: days, $3: `true`: make the next CA, too, $4: `true`: certificates are renewed.
# Says what it did; silent when there was nothing to do.
#
#   authority.pem, authority.key   signs certificates
#   next.pem, next.key             is known already and will sign from the next renewal on
#   retired.pem                    has signed until the last one
#   ca.pem                         all of them: whom agents and coordinators take
set -eu
umask 077
mkdir -p "$1"
cd "$1"
# Two runs at once would make two CAs.
exec 9>lock
flock 9

make() { # NAME
    work=$(mktemp -d)
    cat >"$work/config" <<CONFIG
[req]
distinguished_name = name
x509_extensions = authority
prompt = no
[name]
CN = Warden CA $(openssl rand -hex 4)
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
CONFIG
    openssl req -x509 -config "$work/config" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" \
        -keyout "$work/key" -out "$work/pem" 2>"$work/said" || {
        cat "$work/said" >&2
        exit 1
    }
    # Under their names only when both are there; without the certificate there is no such CA.
    mv "$work/key" "$1.key"
    mv "$work/pem" "$1.pem"
    rm -r "$work"
    echo "made: $1"
}

days=$2
[ -e authority.pem ] || make authority
if [ "$4" = true ]; then
    if [ -e next.pem ]; then
        # However far this came when it was cut short, the same again brings it to its end.
        cp authority.pem retired.pem
        [ ! -e next.key ] || mv next.key authority.key
        mv next.pem authority.pem
        echo "promoted: next"
    elif [ -e retired.pem ]; then
        rm retired.pem
        echo "let go: retired"
    fi
fi
if [ "$3" = true ] && ! [ -e next.pem ]; then make next; fi

: >ca.new
for part in authority next retired; do
    [ ! -e "$part.pem" ] || cat "$part.pem" >>ca.new
done
if cmp -s ca.new ca.pem; then
    rm ca.new
else
    mv ca.new ca.pem
    echo "written: ca.pem"
fi
