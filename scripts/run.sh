#!/usr/bin/env bash
# Builds, starts the platform, takes in the example sessions, shows what it did, and stays up until Ctrl-C.
#
#   scripts/run.sh          data is kept in .granary, so the second time finds it there
#   GRANARY_DATA_DIR=DIR    keeps it elsewhere
#   GRANARY_PORT, GRANARY_S3_PORT    where it listens instead of 7070 and 7071
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

have cargo || die "cargo is missing: install Rust, then run this again"
have python3 || die "python3 is missing: the examples are made by it"
build_granary
python3 examples/make.py >/dev/null
exec python3 scripts/demo.py "${GRANARY_DATA_DIR:-$ROOT/.granary}"
