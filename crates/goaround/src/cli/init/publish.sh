#!/bin/sh
# Writes to a name that is made of the ticket and the hop, so that running twice changes nothing.
set -eu
mkdir -p published
cat >"published/$GOAROUND_TICKET_ID.$GOAROUND_HOP.tmp"
mv "published/$GOAROUND_TICKET_ID.$GOAROUND_HOP.tmp" "published/$GOAROUND_TICKET_ID.$GOAROUND_HOP"
