#!/bin/sh
# NAME_PASSWORD_FILE=/run/secrets/x becomes NAME_PASSWORD=<what the file holds>: source files read passwords from
# the environment only. Airflow's own secrets come by its AIRFLOW__…_CMD settings and need none of this.
set -eu
for name in $(env | sed -n 's/^\([A-Z][A-Z0-9_]*_PASSWORD\)_FILE=.*/\1/p'); do
    eval "file=\$${name}_FILE"
    if [ ! -r "$file" ]; then
        echo "$name: $file cannot be read; make the secrets with docker/make-secrets.sh" >&2
        exit 78
    fi
    value=$(cat "$file")
    export "$name=$value"
done
exec "$@"
