#!/bin/sh
# Rejects what can never work (exit 65), so that it is not tried for ever.
set -eu
artefact=$(cat)
if [ -z "$artefact" ]; then
    echo "nothing to test" >&2
    exit 65
fi
echo "testing, attempt $GOAROUND_ATTEMPT" >&2
printf '%s\ntested\n' "$artefact"
