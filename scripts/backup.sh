#!/usr/bin/env bash
# Takes a backup of a platform on PostgreSQL and an S3 server while it runs, and restores one where nothing runs. docs/operations.md says more.
#
#   scripts/backup.sh take DIR         dumps the database by one snapshot, then copies what is new in the buckets; again into the same DIR takes less time
#   scripts/backup.sh restore DIR      into buckets that may have newer objects, which stay, and a database without Granary's schemas
#     --database-only                  leaves the buckets out, as where versioning or replication keeps them
#
# Finds both where `granary serve` does: GRANARY_DATABASE_URL, GRANARY_OBJECT_STORE, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY. With GRANARY_SIGNING_KEY_FILE,
# the key is kept too, for its owner's eyes only. Needs pg_dump, pg_restore, psql and mc, in PATH or from scripts/tools.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if ! have pg_dump; then PATH=$("$ROOT/scripts/tools.sh" path postgres):$PATH; fi
MC=$(command -v mc || "$ROOT/scripts/tools.sh" path mc)
export PATH MC
exec python3 -B "$ROOT/scripts/backup.py" "$@"
