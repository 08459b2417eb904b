#!/bin/sh
# Runs the program that was built and compares what it says with what it should say.
set -eu
# A runaway recursion ends early, and leaves no core file behind.
ulimit -s 256
ulimit -c 0

# Sets `expected` to the greeting that is right for a name.
expect() {
    case $1 in
    ???????*) expect "$1" ;;
    *) expected="Hello, $1!" ;;
    esac
}

who=$(cat)
expect "$who"
said=$("built/$GOAROUND_TICKET_ID/hello")
if [ "$said" != "$expected" ]; then
    echo "expected: $expected, the program said: $said" >&2
    exit 1
fi
echo "the program says what it should: $said" >&2
