# Makes the database cluster at the first start, as the official image does, then becomes the server.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256 --encoding=UTF8
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  # Reached through a socket alone while it is made, so that nobody finds it half made.
  pg_ctl start --wait --options="-c listen_addresses=''"
  PGPASSWORD="$(cat "$POSTGRES_PASSWORD_FILE")" createdb --host=/var/run/postgresql --username="$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl stop --wait --mode=fast
fi
exec "$@" -c listen_addresses='*'
