#!/usr/bin/env bash
# A MinIO to throw away: all that it has is in one folder, and only this machine reaches it.
#
#   scripts/minio.sh start DIR [PORT]    prints http://KEY:SECRET@127.0.0.1:PORT/ once it answers
#   scripts/minio.sh stop DIR            what is stored stays: start again to find it
#
# Without PORT, or with 0, a free one is chosen. With GRANARY_SERVERS_LISTEN it answers on all addresses of this machine.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

answers() { [[ $(http_status "$1" /minio/health/ready) == 200 ]]; }
# Of a child just started, whose command line may still be changing.
gone_or_answers() { ! kill -0 "$1" 2>/dev/null || answers "$2"; }
gone() { ! alive "$1" "$DIR"; }
running() { cat "$DIR/pid" 2>/dev/null || true; }

start() {
    local port=${1:-0} program pid
    program=$("$ROOT/scripts/tools.sh" path minio)
    [[ $port != 0 ]] || port=$(free_port)
    mkdir -p "$DIR/data"
    alive "$(running)" "$DIR" && die "$DIR is in use by process $(running)"
    port_taken "$port" && die "port $port is in use"
    [[ -s $DIR/credentials ]] || (umask 077 && od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$DIR/credentials")
    local both key secret
    both=$(cat "$DIR/credentials")
    key=${both:0:16} secret=${both:16}
    MINIO_ROOT_USER=$key MINIO_ROOT_PASSWORD=$secret MINIO_CI_CD=1 MINIO_BROWSER=off MINIO_UPDATE=off \
        setsid "$program" server --quiet --address "$LISTEN:$port" "$DIR/data" </dev/null >"$DIR/log" 2>&1 &
    pid=$!
    echo "$pid" >"$DIR/pid"
    wait_until 30 gone_or_answers "$pid" "$port" || true
    if ! answers "$port"; then
        tail -n 5 "$DIR/log" >&2
        stop
        die "MinIO did not start on port $port"
    fi
    echo "http://$key:$secret@127.0.0.1:$port/"
}

stop() {
    local pid
    pid=$(running)
    if alive "$pid" "$DIR"; then
        kill -TERM "$pid"
        wait_until 10 gone "$pid" || kill -KILL "$pid"
    fi
    rm -f "$DIR/pid"
}

[[ $# -ge 2 && ($1 == start || $1 == stop) ]] || {
    sed -n '4,5s/^# *//p' "$0" >&2
    exit 2
}
DIR=$(realpath -m "$2")
LISTEN=127.0.0.1
[[ -z ${GRANARY_SERVERS_LISTEN:-} ]] || LISTEN=0.0.0.0
"$1" "${@:3}"
