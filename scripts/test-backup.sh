#!/usr/bin/env bash
# Backups of a platform on PostgreSQL and MinIO: restored from a dump, from the buckets alone, and from a dump that is older than the buckets.
#
#   scripts/test-backup.sh [--keep]
#
# The last line is `backup: ok` and its figures.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

if [[ -z ${GRANARY_TEST_SERVERS:-} ]]; then
    build_granary
    python3 examples/make.py >/dev/null
    GRANARY_TEST_SERVERS=started exec scripts/with-servers.sh "$0" "$@"
fi
[[ -n ${GRANARY_TEST_POSTGRES:-} && -n ${GRANARY_TEST_S3:-} && -n ${GRANARY_TEST_MC:-} ]] || unavailable "it takes PostgreSQL, MinIO and mc"
exec python3 -B scripts/test_backup.py "$@"
