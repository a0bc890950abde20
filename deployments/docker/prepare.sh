#!/bin/sh
# Makes what compose.yaml and a first NATS cluster need, in a folder "secrets" beside this script: a certificate authority, a
# certificate for the servers, a password and its bcrypt hash for every user, a token for the console, and the key of the PINs. Needs openssl and htpasswd
# (apache2-utils). Nothing that exists is overwritten, what is missing is added. Run as root: each container reads its files as a user of its own, and to nobody else
# are they readable.
set -eu
if [ "$(id -u)" != 0 ]; then
  echo "Error: the secrets must belong to the containers' users, which only root can arrange" >&2
  echo "Try: sudo sh $0" >&2
  exit 1
fi
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
cd secrets

if [ ! -e ca.crt ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=rollcall NATS" -keyout ca.key -out ca.crt
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=nats" -keyout tls.key -out tls.csr
  printf 'subjectAltName=DNS:nats-1,DNS:nats-2,DNS:nats-3,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >tls.ext
  openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -extfile tls.ext -out tls.crt
  rm tls.csr tls.ext
fi

touch passwords.conf
for user in reconciler normalizer connector-corp connector-people console operator subscriber system; do
  name=$(echo "$user" | tr - _)_password
  if ! grep -q "^$name:" passwords.conf; then
    openssl rand -hex 24 >"$user.password"
    hash=$(htpasswd -niBC 11 "" <"$user.password" | tr -d ':\n')
    printf '%s: "%s"\n' "$name" "$hash" >>passwords.conf
  fi
done

[ -e ldap.password ] || openssl rand -hex 16 >ldap.password
[ -e console.tokens ] || echo "operator $(openssl rand -hex 20)" >console.tokens
[ -e ldap-server.password ] || cp ldap.password ldap-server.password
[ -e pins.key ] || openssl rand -base64 32 | tr -d '\n' >pins.key
chmod 0644 ./*.crt
chown 65532:65532 ./*.password console.tokens pins.key passwords.conf tls.key # rollcall; the NATS servers are root in their containers
chown 1001:1001 ldap-server.password                                         # the OpenLDAP of bitnami
