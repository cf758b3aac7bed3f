#!/usr/bin/env bash
# The benchmarks, on a release build, with the servers and programs that they compare with.
#
#   scripts/bench.sh [ARGUMENTS OF granary-bench]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

cargo build --release --locked --package granary --package granary-bench
exec scripts/with-servers.sh "${CARGO_TARGET_DIR:-target}/release/granary-bench" "$@"
