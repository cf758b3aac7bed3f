#!/usr/bin/env bash
# Builds, starts the platform and Envoy in front of it, and stays up until Ctrl-C.
#
#   scripts/ingress.sh            data is kept in .granary
#   GRANARY_DATA_DIR=DIR          keeps it elsewhere
#   GRANARY_INGRESS_PORT=PORT     where Envoy listens (7443); GRANARY_PORT and GRANARY_S3_PORT are the platform's
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

have cargo || die "cargo is missing: install Rust, then run this again"
scripts/tools.sh envoy
build_granary
exec "$(scripts/tools.sh path envoy-python)" -B scripts/ingress.py "${GRANARY_DATA_DIR:-$ROOT/.granary}"
