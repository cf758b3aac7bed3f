#!/usr/bin/env bash
# Runs the tests of jobs in a real cluster of one node.
#
#   scripts/test-kubernetes.sh [TEST...]
#
#   GRANARY_TEST_KUBECONFIG   how to call the cluster
#   GRANARY_TEST_HOST         the address by which its pods reach this machine
#   GRANARY_TEST_IMPORT       the command that gives the node an image, with the archive as its last argument: `ctr -n k8s.io images import`
#   GRANARY_TEST_PROGRAM      a static program of Granary that is built already; without it one is built here
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

for name in GRANARY_TEST_KUBECONFIG GRANARY_TEST_HOST GRANARY_TEST_IMPORT; do
    [[ -n ${!name:-} ]] || unavailable "$name is not set: a cluster is needed"
done
TARGET=${CARGO_TARGET_DIR:-target}
OUT=$TARGET/kubernetes
mkdir -p "$OUT"

# What tests run: unoptimised, but without what only a debugger reads, since it is copied into each pod.
program() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    RUSTFLAGS=-Ctarget-feature=+crt-static CARGO_INCREMENTAL=0 cargo build --workspace --bins --locked --target "$host" >&2
    strip -o "$OUT/granary" "$TARGET/$host/debug/granary"
    echo "$OUT/granary"
}

# An image of what this machine has: a shell, a few programs and Python, with the libraries that they ask for.
programs() {
    local name file layer=() python library
    for name in sh env sleep head mktemp cat touch setsid true id ls ln rm grep mkdir; do
        file=$(readlink -f "$(type -P "$name")")
        layer+=("$file=/usr/bin/$name")
    done
    python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
    library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
    layer+=("$python=/usr/bin/python3")
    while read -r file; do
        layer+=("$file=/usr/lib/${library##*/}/${file#"$library"/}")
    done < <(
        find "$library" -maxdepth 1 -name '*.py'
        find "$library"/{encodings,collections,importlib,re} -name '*.py'
        find "$library/lib-dynload" -name '*.so'
    )
    while read -r file; do layer+=("$file=$file"); done < <(
        { ldd /usr/bin/{sh,env,ls,id,grep} "$python"; find "$library/lib-dynload" -name '*.so' -exec ldd {} +; } 2>/dev/null |
            grep -oE '[[:space:]]/[^ :]+\.so[^ :]*' | tr -d '[:blank:]' | sort -u
    )
    python3 -B scripts/image.py "$OUT/programs.tar" --name docker.io/granary/test-programs:1 --layer "${layer[@]}" --env PATH=/usr/bin
}

PROGRAM=${GRANARY_TEST_PROGRAM:-$(program)}
VERSION=$(sha256sum "$PROGRAM" | head -c 12)
export SOURCE_DATE_EPOCH=0
export GRANARY_TEST_IMAGE=docker.io/granary/granary:test-$VERSION GRANARY_TEST_PROGRAMS=docker.io/granary/test-programs:1
python3 -B scripts/image.py "$OUT/granary.tar" --name "$GRANARY_TEST_IMAGE" --entrypoint /granary \
    --layer /etc/ssl/certs/ca-certificates.crt=/etc/ssl/certs/ca-certificates.crt =/tmp --layer "$PROGRAM=/granary" \
    --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
programs
for archive in granary programs; do
    # A command with its arguments.
    # shellcheck disable=SC2086
    $GRANARY_TEST_IMPORT "$OUT/$archive.tar" >&2
done
cargo test --workspace --locked --test cluster -- --test-threads "${GRANARY_TEST_THREADS:-2}" "$@"
