#!/usr/bin/env bash
# All checks and all tests, with a PostgreSQL and a MinIO that are there for the run.
#
#   scripts/test.sh [ARGUMENTS OF cargo test]
#
# The last line is `N passed, N failed`, over all test programs; checks count as one.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

# Runs itself once more with the servers in the environment.
if [[ -z ${GRANARY_TEST_SERVERS:-} ]]; then
    GRANARY_TEST_SERVERS=started exec scripts/with-servers.sh "$0" "$@"
fi

log=$(mktemp "${TMPDIR:-/tmp}/granary-test.XXXXXX")
trap 'rm -f "$log"' EXIT

status=0
{
    scripts/check.sh && echo "test result: ok. 1 passed; 0 failed; the checks" ||
        {
            echo "test result: FAILED. 0 passed; 1 failed; the checks"
            false
        }
} 2>&1 | tee "$log" || status=1
cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee -a "$log" || status=1

awk -v status="$status" '/^test result: / { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i - 1); if ($i ~ /^failed/) f += $(i - 1) } }
     END { if (status && !f) f = 1 # it did not even compile
           printf "%d passed, %d failed\n", p, f }' "$log"
exit "$status"
