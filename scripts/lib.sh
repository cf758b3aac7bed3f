# Shared by the scripts beside it: source it, do not run it.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=${GRANARY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/granary/tools}
# Exit code for "cannot be had here": a skip on a workstation, an error in CI.
UNAVAILABLE=3

note() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
die() {
    note "$*"
    exit 1
}
unavailable() {
    note "$*"
    exit "$UNAVAILABLE"
}
have() { command -v "$1" >/dev/null 2>&1; }

# wait_until SECONDS COMMAND...: asks until the command succeeds; fails when the time is over.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port that nothing listens on. Below 32768, where the kernel takes no ports for outgoing connections.
free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 12000))
        port_taken "$port" || {
            echo "$port"
            return
        }
    done
    die "no free port between 20000 and 32000"
}

# http_status PORT PATH: the status code, without needing curl; empty if nobody answers.
http_status() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
        read -r -t 2 _ code _ <&3
        printf '%s' "$code"
    ) 2>/dev/null || true
}

# alive PID WORD: whether the process runs and its command line holds the word, so that a recycled id is not taken for ours.
alive() {
    [[ -n $1 ]] && kill -0 "$1" 2>/dev/null && { [[ ! -r /proc/$1/cmdline ]] || grep -qsaF -- "$2" "/proc/$1/cmdline"; }
}

# Builds the program, unless GRANARY_PROGRAM names one that is there.
build_granary() {
    if [[ -z ${GRANARY_PROGRAM:-} ]]; then
        cargo build --locked --package granary "$@"
    elif [[ ! -x $GRANARY_PROGRAM ]]; then
        die "GRANARY_PROGRAM: there is no program at $GRANARY_PROGRAM"
    fi
}
