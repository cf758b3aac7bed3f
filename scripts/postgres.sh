#!/usr/bin/env bash
# A PostgreSQL to throw away: all that it has is in one folder, only this machine reaches it, and it asks for no
# password. It writes through to the disk as a real one does, and speaks TLS too, with DIR/data/server.crt as its own authority.
#
#   scripts/postgres.sh start DIR [PORT]    prints postgres://granary@127.0.0.1:PORT/granary once it answers
#   scripts/postgres.sh stop DIR            what is stored stays: start again to find it
#
# GRANARY_SERVERS_LISTEN names one more address of this machine on which it answers, and whoever comes from 198.18.0.0/15 is let in: for the pods of scripts/kube.sh.
# Without PORT, or with 0, a free one is chosen. PostgreSQL refuses to run as root: as root, DIR is given to the
# user postgres (or nobody).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# as_owner COMMAND...: as the user that the server runs as.
as_owner() {
    if [[ $(id -u) != 0 ]]; then
        "$@"
    else
        setpriv --reuid "$OWNER" --regid "$(id -g "$OWNER")" --clear-groups env HOME="$DIR" "$@"
    fi
}

create() {
    have openssl || [[ ${CI:-} != true ]] || die "openssl is not in PATH, which is an error in CI: tests of TLS would be left out"
    as_owner "$PROGRAMS/initdb" --pgdata "$DIR/data" --username granary --auth trust --encoding UTF8 --locale C --no-sync \
        >"$DIR/initdb.log" 2>&1 || {
        tail -n 5 "$DIR/initdb.log" >&2
        die "initdb failed in $DIR"
    }
    [[ -z $LISTEN ]] || echo "host all all 198.18.0.0/15 trust" | as_owner tee -a "$DIR/data/pg_hba.conf" >/dev/null
    echo "create database granary" | as_owner "$PROGRAMS/postgres" --single -D "$DIR/data" postgres >>"$DIR/initdb.log" 2>&1
    certify
}

# For 127.0.0.1. What PostgreSQL is packaged with has openssl; elsewhere the server does without TLS, but not in CI.
certify() {
    have openssl || {
        note "there is no openssl: without TLS"
        return 0
    }
    (cd "$DIR/data" && as_owner openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=granary-postgres \
        -addext subjectAltName=IP:127.0.0.1,DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout server.key -out server.crt) 2>>"$DIR/initdb.log" >&2 ||
        die "a certificate could not be made: see $DIR/initdb.log"
    echo "ssl = on" | as_owner tee -a "$DIR/data/postgresql.conf" >/dev/null
}

start() {
    local port=${1:-0} socket=$DIR
    mkdir -p "$DIR"
    [[ $(id -u) != 0 ]] || chown "$OWNER" "$DIR"
    (cd / && as_owner test -w "$DIR") || die "the user $OWNER cannot reach $DIR: each folder above it must allow that (chmod o+x)"
    [[ -f $DIR/data/PG_VERSION ]] || create
    [[ $port != 0 ]] || port=$(free_port)
    port_taken "$port" && die "port $port is in use"
    # A socket's path holds 107 bytes; clients here use the port anyway.
    ((${#socket} < 85)) || socket=
    as_owner "$PROGRAMS/pg_ctl" --pgdata "$DIR/data" --log "$DIR/log" --wait --timeout 60 --silent start --options \
        "-p $port -c listen_addresses=127.0.0.1${LISTEN:+,$LISTEN} -c unix_socket_directories='$socket' -c max_connections=400 -c fsync=on" \
        9>&- >/dev/null || {
        tail -n 5 "$DIR/log" >&2
        die "PostgreSQL did not start on port $port"
    }
    echo "postgres://granary@127.0.0.1:$port/granary"
}

stop() {
    [[ -f $DIR/data/postmaster.pid ]] || return 0
    as_owner "$PROGRAMS/pg_ctl" --pgdata "$DIR/data" --mode fast --wait --timeout 60 --silent stop
}

[[ $# -ge 2 && ($1 == start || $1 == stop) ]] || {
    sed -n '5,6s/^# *//p' "$0" >&2
    exit 2
}
DIR=$(realpath -m "$2")
LISTEN=${GRANARY_SERVERS_LISTEN:-}
PROGRAMS=$("$ROOT/scripts/tools.sh" path postgres)
OWNER=postgres
id "$OWNER" >/dev/null 2>&1 || OWNER=nobody
cd /
"$1" "${@:3}"
