#!/usr/bin/env bash
# Every service apart, with two replicas each, behind Envoy: users go on while one replica after the other is killed.
#
#   scripts/replicas.sh [--sessions N] [--replicas N] [--seed N] [--pauses] [--calm] [--keep]
#
# The last line is `replicas: ok` and its figures.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

if [[ -z ${GRANARY_TEST_SERVERS:-} ]]; then
    scripts/tools.sh envoy
    build_granary
    python3 examples/make.py >/dev/null
    GRANARY_TEST_SERVERS=started exec scripts/with-servers.sh "$0" "$@"
fi
exec "$(scripts/tools.sh path envoy-python)" -B scripts/replicas.py "$@"
