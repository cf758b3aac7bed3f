#!/usr/bin/env bash
# Builds the image of Granary as an archive, with neither a daemon nor a registry; the Dockerfile makes the same with Docker.
#
#   scripts/image.sh             builds the program, statically linked, as target/image/granary, and writes target/image/granary.tar
#   scripts/image.sh PROGRAM     the same with a program that is built already
#   scripts/image.sh --envoy     writes target/image/envoy.tar: Envoy as in `scripts/tools.sh envoy`, for clusters that reach no registry
#
# GRANARY_IMAGE (default granary:VERSION) is its name, GRANARY_IMAGE_PROFILE (default release) how the program is built: dev is ready sooner. CA_CERTIFICATES is the file of authorities that it trusts.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

OUT=target/image
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
PROFILE=${GRANARY_IMAGE_PROFILE:-release}
CA_CERTIFICATES=${CA_CERTIFICATES:-/etc/ssl/certs/ca-certificates.crt}

# The program alone: no path of this machine gets into it, so that the same sources make the same program.
build() {
    local host prefix
    host=$(rustc -vV | sed -n 's/^host: //p')
    [[ $host == *-linux-gnu ]] || unavailable "an image is built on Linux with glibc, or with the Dockerfile"
    prefix="--remap-path-prefix=$ROOT=/granary --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    # For a target that is named, flags are not those of the build's own programs, which cannot be static.
    RUSTFLAGS="-Ctarget-feature=+crt-static $prefix" \
        CFLAGS="-ffile-prefix-map=$ROOT=/granary -ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_DEV_STRIP=symbols CARGO_TARGET_DIR=$OUT \
        cargo build --profile "$PROFILE" --locked --package granary --target "$host"
    PROGRAM=$OUT/granary
    cp "$OUT/$host/${PROFILE/dev/debug}/granary" "$PROGRAM"
}

assemble() {
    [[ -f $CA_CERTIFICATES ]] || unavailable "there is no $CA_CERTIFICATES: install ca-certificates, or name the file in CA_CERTIFICATES"
    python3 -B scripts/image.py "$OUT/granary.tar" --name "${GRANARY_IMAGE:-granary:$VERSION}" --entrypoint /granary \
        --layer "$CA_CERTIFICATES=/etc/ssl/certs/ca-certificates.crt" =/tmp --layer "$PROGRAM=/granary" \
        --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt --label org.opencontainers.image.title=Granary \
        --label "org.opencontainers.image.version=$VERSION" --label "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)"
}

# Envoy needs the C library, so that comes along, under the names by which the program asks for it.
envoy() {
    local program library libraries=()
    program=$(scripts/tools.sh envoy && scripts/tools.sh path envoy)
    while read -r library; do libraries+=("$library=$library"); done < <(ldd "$program" | grep -oE '/[^ ]+')
    python3 -B scripts/image.py "$OUT/envoy.tar" --name "docker.io/envoyproxy/envoy:v$("$program" --version | grep -oE '/[0-9.]+/' | tr -d /)" \
        --layer "$CA_CERTIFICATES=/etc/ssl/certs/ca-certificates.crt" =/tmp "${libraries[@]}" \
        --layer "$program=/usr/local/bin/envoy" --env PATH=/usr/local/bin
}

[[ $# -le 1 ]] || die "usage: scripts/image.sh [PROGRAM | --envoy]"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
case ${1:-} in
--envoy) envoy ;;
"") build && assemble ;;
*) PROGRAM=$1 && assemble ;;
esac
