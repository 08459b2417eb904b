#!/usr/bin/env bash
# Plays the example: starts a server on a copy of this folder, sends it tickets, says what to look
# at, and goes on until Ctrl-C. The handler of the stage `test` crashes until it is repaired.
#
#   GOAROUND_BIN   the program (default: the debug build of this checkout)
#   PLAY_LISTEN    where the server listens (default: 127.0.0.1:7878)
#   PLAY_DIR       where the copy and the data folder go; kept afterwards (default: a new folder
#                  that is removed afterwards)
#   PLAY_SCRIPTED  1: repairs the handler by itself and ends once every ticket has landed
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${GOAROUND_BIN:-${CARGO_TARGET_DIR:-$here/../../target}/debug/goaround}
listen=${PLAY_LISTEN:-127.0.0.1:7878}
names=(Ada Grace Barbara Frances Radia)
ready_seconds_max=30
landed_seconds_max=90
server=

if [ ! -x "$bin" ]; then
    echo "play: $bin is not there; build it with: cargo build -p goaround" >&2
    exit 1
fi
bin=$(cd "$(dirname "$bin")" && pwd)/$(basename "$bin")

if [ -n "${PLAY_DIR:-}" ]; then
    mkdir -p "$PLAY_DIR"
    play=$(cd "$PLAY_DIR" && pwd)
else
    play=$(mktemp -d "${TMPDIR:-/tmp}/goaround-play.XXXXXX")
fi

finish() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "$server" ] && kill -s TERM "$server" 2>/dev/null; then
        wait "$server" || true
    fi
    if [ -z "${PLAY_DIR:-}" ]; then
        rm -rf "$play"
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The first line that the server answers to a request for this path; nothing if it does not answer.
answer() {
    local host=${listen%:*} port=${listen##*:} line=
    {
        printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" "$listen" >&3
        read -r -t 2 line <&3 || true
    } 3<>"/dev/tcp/$host/$port" || true
    printf '%s' "$line"
} 2>/dev/null

wait_until_ready() {
    local end=$((SECONDS + ready_seconds_max))
    until [[ $(answer /readyz) == *" 200 "* ]]; do
        if ! kill -0 "$server" 2>/dev/null; then
            wait "$server" || true
            server=
            echo "play: the server has ended; its log is above" >&2
            exit 1
        fi
        if ((SECONDS >= end)); then
            echo "play: the server is not ready after $ready_seconds_max s" >&2
            exit 1
        fi
        sleep 0.1
    done
}

landed() {
    "$bin" ticket list --filter 'flow:ci is:done' -o name | wc -l
}

wait_until_landed() {
    local end=$((SECONDS + landed_seconds_max)) count
    until count=$(landed) && ((count >= ${#names[@]})); do
        if ((SECONDS >= end)); then
            echo "play: ${count:-none} of ${#names[@]} tickets landed in $landed_seconds_max s" >&2
            "$bin" ticket list >&2 || true
            exit 1
        fi
        sleep 0.5
    done
}

wait_until_crashed() {
    local end=$((SECONDS + landed_seconds_max))
    until [ -n "$("$bin" oops list --filter is:crashed -o name)" ]; do
        if ((SECONDS >= end)); then
            echo "play: no handler crashed within $landed_seconds_max s, but one has a bug" >&2
            exit 1
        fi
        sleep 0.2
    done
}

# What was built or published by an earlier play in this folder stays; the handlers are fresh.
cp -R "$here/." "$play"
export GOAROUND_URL=http://$listen
# Its own process group: Ctrl-C reaches this script, which then ends the server in good order.
set -m
"$bin" up --config "$play/goaround.toml" --data "$play/data" --listen "$listen" &
server=$!
set +m
wait_until_ready

tickets=()
for name in "${names[@]}"; do
    tickets+=("$("$bin" submit --flow ci --kind hello --key "$name" --payload "$name")")
done

cat <<EOF

  Five tickets go through build, test and publish, and the handler of test crashes.

  Look at it        $GOAROUND_URL
                    $bin stage list
                    $bin oops list
                    $bin ticket explain ${tickets[0]}

  Repair it         $play/repair.sh

  Then watch the tickets land by themselves, in $play/published
  Ctrl-C ends the server.

EOF

if [ "${PLAY_SCRIPTED:-}" = 1 ]; then
    wait_until_crashed
    "$play/repair.sh"
    wait_until_landed
    ls "$play/published"
    "$bin" books
    echo "all ${#names[@]} tickets have landed"
    exit 0
fi

wait "$server"
