#!/bin/sh
# Creates a certificate authority, a server and three clients in the folder $1, for one day.
set -eu
mkdir -p "$1"
cd "$1"

openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key
openssl req -x509 -new -key ca.key -days 1 -subj '/CN=services CA' -out ca.pem

# $1: the name of the files, $2: the usage, $3: the subject alternative names
issue() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n' > "$1.ext"
    printf 'extendedKeyUsage=%s\nsubjectAltName=%s\n' "$2" "$3" >> "$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 \
        -extfile "$1.ext" -out "$1.pem"
    rm "$1.csr" "$1.ext"
}

issue server serverAuth DNS:localhost,IP:127.0.0.1
issue batch clientAuth URI:spiffe://prod.example/batch
issue shop clientAuth URI:spiffe://prod.example/shop
issue other clientAuth URI:spiffe://prod.example/other
