#!/usr/bin/env bash
# The main job without staying up: on the embedded default, on PostgreSQL with MinIO, then with `kill -9` of server and client at random moments.
#
#   scripts/smoke.sh [--seed N] [--kills N]
#
# The last line is `smoke: ok` and its figures.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

if [[ -z ${GRANARY_TEST_SERVERS:-} ]]; then
    build_granary
    python3 examples/make.py >/dev/null
    GRANARY_TEST_SERVERS=started exec scripts/with-servers.sh "$0" "$@"
fi
exec python3 scripts/smoke.py "$@"
