#!/bin/sh
# Runs once, when the data folder is empty: a database for Airflow's metadata, and the demo ERP, which has an owner
# and a user that may only read. No user reaches the other's database.
set -eu
export SECRETS="${SECRETS:-/run/secrets}"
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set airflow `cat "$SECRETS/airflow_db_password"`
\set erp_owner `cat "$SECRETS/erp_owner_password"`
\set erp_reader `cat "$SECRETS/erp_reader_password"`

create role airflow login password :'airflow';
create database airflow owner airflow;
revoke all on database airflow from public;

create role erp_owner login password :'erp_owner';
create role erp_reader login password :'erp_reader';
create database erp owner erp_owner;
revoke all on database erp from public;
grant connect on database erp to erp_reader;

\connect erp
alter default privileges for role erp_owner in schema public grant select on tables to erp_reader;
SQL
