#!/bin/sh
# Certificates for Ray's TLS: an authority of your own, and a certificate for each host.
#
#   tls.sh DIR IP...
#
# makes DIR/ca.crt and DIR/ca.key, unless they are there, and for each address DIR/IP/tls.crt, tls.key and ca.crt: the
# folder that goes to that host. ca.key goes nowhere. The certificates are valid for a year.
set -eu
[ $# -gt 1 ] || { echo "tls.sh: no addresses: tls.sh DIR IP..." >&2; exit 2; }
umask 077
dir=$1
shift
mkdir -p "$dir"

new_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2> /dev/null
}

if [ ! -f "$dir/ca.crt" ]; then
    new_key "$dir/ca.key"
    openssl req -x509 -new -key "$dir/ca.key" -days 365 -subj "/CN=raybatch authority" -out "$dir/ca.crt"
fi

for ip in "$@"; do
    host=$dir/$ip
    mkdir -p "$host"
    new_key "$host/tls.key"
    # Every process of Ray is a server and a client, and calls those on its own host by 127.0.0.1 as well.
    printf 'subjectAltName=IP:%s,IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' "$ip" \
        > "$host/extensions"
    openssl req -new -key "$host/tls.key" -subj "/CN=$ip" |
        openssl x509 -req -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 365 \
            -extfile "$host/extensions" -out "$host/tls.crt" 2> /dev/null
    rm "$host/extensions"
    cp "$dir/ca.crt" "$host/ca.crt"
done
