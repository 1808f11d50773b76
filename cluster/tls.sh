#!/bin/sh
# Certificates for Ray's TLS: an authority of your own, and a certificate for each host.
#
#   tls.sh DIR IP...
#
# makes DIR/ca.crt and DIR/ca.key, unless they exist. For each address it makes DIR/IP with tls.crt, tls.key and ca.crt;
# copy that folder to the host. Keep ca.key where it is. The certificates are valid for a year.
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
    # Every Ray process is a server and a client, and also connects to its own host at 127.0.0.1.
    printf 'subjectAltName=IP:%s,IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' "$ip" \
        > "$host/extensions"
    openssl req -new -key "$host/tls.key" -subj "/CN=$ip" |
        openssl x509 -req -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 365 \
            -extfile "$host/extensions" -out "$host/tls.crt" 2> /dev/null
    rm "$host/extensions"
    cp "$dir/ca.crt" "$host/ca.crt"
done
