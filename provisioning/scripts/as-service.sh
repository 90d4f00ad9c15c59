#!/bin/sh
# `promptd` on a box: its commands as the service sees them, with its user, its settings and its state.
set -eu

case $(id -un) in
    root) become='runuser -u promptd --' ;;
    promptd) become='' ;;
    *) echo "promptd: on this box its commands are for root; use: sudo promptd $*" >&2 && exit 1 ;;
esac
# shellcheck disable=SC2086 # several words, or none
exec $become env HOME=/var/lib/promptd STATE_DIRECTORY=/var/lib/promptd /opt/promptd/current/bin/promptd "$@"
