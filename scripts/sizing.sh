#!/usr/bin/env bash
# Measures what sessions, assets and calls cost each service: the figures of docs/sizing.md and scripts/cost.py.
#
#   scripts/sizing.sh [--large N] [--parted N] [--small N] [--calls N]
#
# Builds a release, unless GRANARY_PROGRAM names a program; takes 2.5 GB of disk for each session of 600 MB.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

if [[ -z ${GRANARY_TEST_SERVERS:-} ]]; then
    scripts/tools.sh envoy
    if [[ -z ${GRANARY_PROGRAM:-} ]]; then
        cargo build --locked --release --package granary
        export GRANARY_PROGRAM=${CARGO_TARGET_DIR:-$ROOT/target}/release/granary
    fi
    python3 examples/make.py >/dev/null
    # Its counters of requests are for everybody on this machine.
    MINIO_PROMETHEUS_AUTH_TYPE=public GRANARY_TEST_SERVERS=started exec scripts/with-servers.sh "$0" "$@"
fi
exec "$(scripts/tools.sh path envoy-python)" -B scripts/sizing.py "$@"
