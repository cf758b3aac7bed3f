#!/usr/bin/env bash
# All checks and all tests, with a PostgreSQL and a MinIO that are there for the run, the ingress from outside, and a Prometheus that watches.
#
#   scripts/test.sh [ARGUMENTS OF cargo test]     with any, without ingress and Prometheus
#
# The last line is `N passed, N failed`, over all test programs and the cases of the ingress; checks count as one, and so does what Prometheus saw.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

# A fresh clone is built once: what would make the next build faster only takes room and time.
[[ ${CI:-} == true ]] && export CARGO_INCREMENTAL=0

# Runs itself once more with the servers in the environment.
if [[ -z ${GRANARY_TEST_SERVERS:-} ]]; then
    GRANARY_TEST_SERVERS=started exec scripts/with-servers.sh "$0" "$@"
fi

log=$(mktemp "${TMPDIR:-/tmp}/granary-test.XXXXXX")
trap 'rm -f "$log"' EXIT

status=0
# All that is tested is built once, the program too: built alone it would have other features, and be built again.
if [[ $# == 0 ]] && cargo test --workspace --locked --no-run; then
    export GRANARY_PROGRAM=${CARGO_TARGET_DIR:-$ROOT/target}/debug/granary
fi
{
    scripts/check.sh && echo "test result: ok. 1 passed; 0 failed; the checks" ||
        {
            echo "test result: FAILED. 0 passed; 1 failed; the checks"
            false
        }
} 2>&1 | tee "$log" || status=1
cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee -a "$log" || status=1

if [[ $# == 0 ]]; then
    ingress=0
    scripts/test-ingress.sh 2>&1 | tee -a "$log" || ingress=$?
    if [[ $ingress == "$UNAVAILABLE" && ${CI:-} != true ]]; then
        note "the ingress is not tested: what it takes cannot be had here"
    elif [[ $ingress != 0 ]]; then
        status=1
    fi

    observed=0
    scripts/observe.sh 2>&1 | tee -a "$log" || observed=$?
    if [[ $observed == "$UNAVAILABLE" && ${CI:-} != true ]]; then
        note "what Prometheus sees is not tested: it cannot be had here"
    elif [[ $observed != 0 ]]; then
        echo "test result: FAILED. 0 passed; 1 failed; what Prometheus sees" | tee -a "$log"
        status=1
    fi
fi

awk -v status="$status" '/^test result: / { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i - 1); if ($i ~ /^failed/) f += $(i - 1) } }
     /^observe: ok, / { p++ }
     /^ingress: ok, [0-9]+ cases/ { p += $3 }
     /^ingress: [0-9]+ of [0-9]+ cases failed/ { f += $2; p += $4 - $2 }
     END { if (status && !f) f = 1 # it did not even compile
           printf "%d passed, %d failed\n", p, f }' "$log"
exit "$status"
