#!/usr/bin/env bash
# Runs a command with a PostgreSQL and a MinIO beside it, which end when it ends.
#
#   scripts/with-servers.sh COMMAND [ARG...]
#
# The command finds them, and the tools, in its environment:
#   GRANARY_TEST_POSTGRES   postgres://granary@127.0.0.1:PORT/granary, a user who may create databases
#   GRANARY_TEST_S3         http://KEY:SECRET@127.0.0.1:PORT/
#   GRANARY_TEST_FOREIGN    a folder of photographs/, recordings/ and images/ that others made
#   GRANARY_TEST_PYTHON     a Python with boto3, awscli, Pillow and numpy
#   GRANARY_TEST_ENVOY      the program of Envoy
#   GRANARY_TEST_TLS        a folder with ca.crt, tls.crt and tls.key for localhost
#   GRANARY_TEST_OIDC       a folder with the Node package oidc-provider
#   GRANARY_TEST_AWS, GRANARY_TEST_MC, GRANARY_TEST_GRPCURL, GRANARY_TEST_BUF   programs
# What cannot be had on this machine is named and left out, and tests that need it skip; with CI=true it is an error.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ $# -gt 0 ]] || {
    sed -n '4s/^# *//p' "$0" >&2
    exit 2
}

# Servers run as other users too, who must be able to pass through to their folders.
WORK=$(mktemp -d "${TMPDIR:-/tmp}/granary-servers.XXXXXX")
chmod 711 "$WORK"
finish() {
    local status=$?
    "$ROOT/scripts/postgres.sh" stop "$WORK/postgres" || true
    "$ROOT/scripts/minio.sh" stop "$WORK/minio" || true
    rm -rf "$WORK"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# offer PART NAME COMMAND...: sets NAME to what the command prints, if the part can be had.
offer() {
    local part=$1 name=$2 value
    shift 2
    if "$ROOT/scripts/tools.sh" "$part" && value=$("$@"); then
        export "$name=$value"
    elif [[ ${CI:-} == true ]]; then
        die "$part cannot be had, which is an error in CI"
    else
        note "skipping what needs $part"
    fi
}

tool() { "$ROOT/scripts/tools.sh" path "$1"; }

offer postgres GRANARY_TEST_POSTGRES "$ROOT/scripts/postgres.sh" start "$WORK/postgres"
offer minio GRANARY_TEST_S3 "$ROOT/scripts/minio.sh" start "$WORK/minio"
offer foreign GRANARY_TEST_FOREIGN tool foreign
offer python GRANARY_TEST_PYTHON tool python
offer python GRANARY_TEST_AWS tool aws
offer mc GRANARY_TEST_MC tool mc
offer grpcurl GRANARY_TEST_GRPCURL tool grpcurl
offer buf GRANARY_TEST_BUF tool buf
offer oidc GRANARY_TEST_OIDC tool oidc
offer envoy GRANARY_TEST_ENVOY tool envoy
offer envoy GRANARY_TEST_TLS "$(tool envoy-python)" -B "$ROOT/scripts/certificates.py" "$WORK/tls"

"$@"
