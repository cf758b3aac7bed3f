#!/usr/bin/env bash
# Granary on a real Kubernetes of this machine, installed by Helm, used from outside through its ingress.
#
#   scripts/e2e.sh [--kube DIR] [--sessions N] [--seed N] [--keep] [WORD ...]
#
# It takes root, and builds the image, Kubernetes and Helm the first time. The last line is `e2e: ok` and its figures.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

scripts/kube.sh tools
for part in helm minio postgres prometheus envoy; do scripts/tools.sh "$part"; done
# As tests build it. A release is a quarter of an hour of two processors: GRANARY_IMAGE_PROFILE=release makes e2e of that.
export GRANARY_IMAGE_PROFILE=${GRANARY_IMAGE_PROFILE:-dev}
scripts/image.sh
scripts/image.sh --envoy
# The command that users have is the program of the image.
export GRANARY_PROGRAM=$ROOT/target/image/granary
python3 examples/make.py >/dev/null
exec "$(scripts/tools.sh path envoy-python)" -B scripts/e2e.py "$@"
