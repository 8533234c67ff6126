#!/usr/bin/env bash
# Run once, by Postgres' own image, when its volume is empty: what the course has beside Airflow's database.
# The roles are those of windtunnel.postgres: `warehouse` owns the warehouse, `reader` may look at everything and change
# nothing, `source` is another team's database, which lets us in five times at once.
set -euo pipefail
for role in warehouse reader source; do
  name="${role^^}_PASSWORD"
  psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres -v role="$role" -v password="${!name:?}" <<'SQL'
create role :"role" login password :'password';
SQL
done
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres <<'SQL'
grant pg_read_all_data to reader;
alter role reader set default_transaction_read_only = on;
alter role source set default_transaction_read_only = on;
alter role source connection limit 5;
create database warehouse owner warehouse;
SQL
