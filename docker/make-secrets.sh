#!/bin/sh
# Makes up the secrets of an installation, each in a file of its own. What exists is left as it is.
# The files can be read by all, because each container reads them as another user; the folder is closed to others.
set -eu
folder=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$folder"
for name in postgres_password airflow_db_password erp_owner_password erp_reader_password \
    admin_password api_secret_key fernet_key jwt_secret; do
    if [ ! -s "$folder/$name" ]; then
        bytes=32
        if [ "$name" = jwt_secret ]; then bytes=64; fi # what HS512 asks for
        head -c "$bytes" /dev/urandom | base64 | tr -- '+/' '-_' | tr -d '\n' >"$folder/.new"
        chmod 444 "$folder/.new"
        mv "$folder/.new" "$folder/$name"
        echo "$folder/$name"
    fi
done
