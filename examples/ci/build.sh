#!/bin/sh
# Compiles the program for the name that the ticket carries. The payload stays as it is, since
# nothing is written to standard output. Built anew under the same name, it is the same program.
set -eu

who=$(cat)
case $who in
'' | *[!A-Za-z]*)
    echo "a name of letters was expected, the ticket carries: $who" >&2
    exit 65 # The ticket is wrong, and no retry makes it right: rejected.
    ;;
esac

built=built/$GOAROUND_TICKET_ID
mkdir -p "$built"
cc -O1 -DWHO="\"$who\"" -o "$built/hello.new" hello.c
mv "$built/hello.new" "$built/hello"
echo "built $built/hello for $who" >&2
