#!/usr/bin/env bash
# Whether dashboards and alerts get data: a real Prometheus is asked for every expression while a platform works.
#
#   scripts/observe.sh [--targets HOST:PORT,...] [--patience SECONDS] [--keep]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

scripts/tools.sh prometheus
scripts/tools.sh node_exporter
build_granary
python3 examples/make.py >/dev/null
exec python3 -B scripts/observe.py "$@"
