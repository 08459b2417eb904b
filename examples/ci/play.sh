#!/usr/bin/env bash
# Plays the example and tells what happens as it happens: starts a server on a copy of this folder,
# sends it tickets, of which half crash the handler of the stage `test`, repairs the handler, watches
# them land, and goes on until Ctrl-C.
#
#   GOAROUND_BIN   the program (default: the debug build of this checkout)
#   PLAY_LISTEN    where the server listens (default: 127.0.0.1:7878)
#   PLAY_DIR       where the copy and the data folder go; kept afterwards (default: a new folder
#                  that is removed afterwards)
#   PLAY_PAUSE     how many seconds you have to repair the handler yourself (default: 20)
#   PLAY_SCRIPTED  1: repairs the handler at once, and ends once every ticket has landed
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${GOAROUND_BIN:-${CARGO_TARGET_DIR:-$here/../../target}/debug/goaround}
listen=${PLAY_LISTEN:-127.0.0.1:7878}
# The handler has a bug that names of seven letters or more run into.
short_names=(Ada Grace Radia Joan Edith Hedy Karen Adele)
long_names=(Barbara Frances Margaret Katherine Dorothy Kathleen Jocelyn Shafrira)
count_all=$((${#short_names[@]} + ${#long_names[@]}))
ready_seconds_max=30
step_seconds_max=90
pause=${PLAY_PAUSE:-20}
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
            echo "play: the server has ended; its log:" >&2
            cat "$play/up.log" >&2
            exit 1
        fi
        if ((SECONDS >= end)); then
            echo "play: the server is not ready after $ready_seconds_max s" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# say LINE…: a step of the story, and when it came.
say() {
    printf '%3d s  %s\n' "$((SECONDS - began))" "$1"
    shift
    [ $# = 0 ] || printf '%s\n' "$@" | indented
}

indented() {
    sed 's/^./       &/'
}

# How many tickets of the flow match.
count() {
    "$bin" ticket list --filter "flow:ci $1" -o name | wc -l
}

oopses() {
    "$bin" oops list --filter is:crashed --limit 1000 -o name | wc -l
}

# wait_until WHAT COMMAND…: waits until the command succeeds.
wait_until() {
    local what=$1 end=$((SECONDS + step_seconds_max))
    shift
    until "$@"; do
        if ((SECONDS >= end)) || ! kill -0 "$server" 2>/dev/null; then
            echo "play: $what did not happen; the server's log ends with:" >&2
            tail -n 20 "$play/up.log" >&2
            "$bin" ticket list >&2 || true
            exit 1
        fi
        sleep 0.2
    done
}

short_ones_landed() { (($(count is:done) >= ${#short_names[@]})); }
all_long_ones_held() { (($(count is:held) >= ${#long_names[@]})); }
is_repaired() { ! cmp -s "$here/tests/check.sh" "$play/tests/check.sh"; }
plan_made() { [ -n "$("$bin" plan list -o jsonl)" ]; }
all_landed() { (($(count is:done) >= count_all)); }

# Gives whoever watches the time to repair it; then does it.
repair() {
    local end=$((SECONDS + pause))
    until is_repaired || ((SECONDS >= end)); do
        sleep 0.2
    done
    is_repaired || "$play/repair.sh" >/dev/null
}

# What was built or published by an earlier play in this folder stays; the handlers are fresh.
cp -R "$here/." "$play"
export GOAROUND_URL=http://$listen
# Its own process group: Ctrl-C reaches this script, which then ends the server in good order.
set -m
# Its log goes to a file, so that the story can be read.
"$bin" up --config "$play/goaround.toml" --data "$play/data" --listen "$listen" \
    >"$play/up.log" 2>&1 &
server=$!
set +m
wait_until_ready
began=$SECONDS

long=()
for name in "${short_names[@]}"; do
    "$bin" submit --flow ci --kind hello --key "$name" --payload "$name" >/dev/null
done
for name in "${long_names[@]}"; do
    long+=("$("$bin" submit --flow ci --kind hello --key "$name" --payload "$name")")
done
say "$count_all tickets go through build, test and publish. Look at them: $GOAROUND_URL"

wait_until "the landing of the tickets that nothing is wrong with" short_ones_landed
say "${#short_names[@]} have landed. The handler of test crashes at the other ${#long_names[@]}: its bug is" \
    "a recursion without an end. They go around, and the line goes on beside them."

wait_until "the hold of the tickets that crash" all_long_ones_held
say "$(oopses) crashes, an OOPS each, all of them the same problem. So its breaker is open, and" \
    "the tickets wait as held; none of them runs for nothing any more:" ""
"$bin" ticket explain "${long[0]}" | indented
echo

[ "${PLAY_SCRIPTED:-}" != 1 ] || pause=0
say "Repair it:  $play/repair.sh" \
    "Have a look meanwhile:" \
    "  export GOAROUND_URL=$GOAROUND_URL" \
    "  $bin stage breakers" \
    "  $bin oops list" \
    "If nobody does, it is repaired in $pause s."
repair
say "The handler is repaired: a new version, which announces itself. Nobody resubmits anything."

wait_until "the landing of the canary" plan_made
say "One ticket alone went first, the canary, and landed. The others follow by a release plan."
wait_until "the landing of all tickets" all_landed
say "All $count_all tickets have landed. What one of them went through:" ""
"$bin" ticket history "${long[0]}" | indented
echo
"$bin" books
echo

if [ "${PLAY_SCRIPTED:-}" = 1 ]; then
    ls "$play/published"
    exit 0
fi

say "The server goes on until Ctrl-C: $GOAROUND_URL"
wait "$server"
