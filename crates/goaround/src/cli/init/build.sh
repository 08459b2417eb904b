#!/bin/sh
# The payload comes on standard input; what is printed is the payload of the next stage.
set -eu
source=$(cat)
echo "building ticket $GOAROUND_TICKET_ID" >&2
printf 'built from: %s\n' "$source"
