#!/bin/sh
# Makes Temporal's databases where they are not there, and brings their schema to that of this version.
set -eu
schema=/etc/temporal/schema/postgresql/v12
for pair in temporal:temporal temporal_visibility:visibility; do
  database=${pair%%:*}
  folder=$schema/${pair##*:}/versioned
  temporal-sql-tool --db "$database" create || echo "$database is there already"
  temporal-sql-tool --db "$database" setup-schema --version 0.0 || echo "$database has a schema already"
  temporal-sql-tool --db "$database" update-schema --schema-dir "$folder"
done
