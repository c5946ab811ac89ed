#!/bin/sh
# Runs once, when the cluster is made: a user and a database for Errata, and a user that may make Temporal's databases.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" \
  --set errata="$ERRATA_DB_PASSWORD" --set temporal="$TEMPORAL_DB_PASSWORD" <<'SQL'
CREATE ROLE errata LOGIN PASSWORD :'errata';
CREATE DATABASE errata OWNER errata;
CREATE ROLE temporal LOGIN CREATEDB PASSWORD :'temporal';
SQL
