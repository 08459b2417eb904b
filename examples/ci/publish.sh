#!/bin/sh
# Puts the tested program where people fetch it from. Whoever looks sees all of it or nothing.
set -eu

mkdir -p published
cp "built/$GOAROUND_TICKET_ID/hello" "published/.$GOAROUND_TICKET_ID.new"
mv "published/.$GOAROUND_TICKET_ID.new" "published/$GOAROUND_TICKET_ID"
echo "published/$GOAROUND_TICKET_ID"
