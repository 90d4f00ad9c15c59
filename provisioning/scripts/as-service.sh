#!/bin/sh
# `promptd` on a box: its commands as the service sees them, with its user, its settings and its state.
set -eu

case $(id -un) in
    root) become='runuser -u promptd --' ;;
    promptd) become='' ;;
    *) echo "promptd: on this box its commands are for root; use: sudo promptd $*" >&2 && exit 1 ;;
esac
export HOME=/var/lib/promptd STATE_DIRECTORY=/var/lib/promptd

# The way to the first certificate is root's, and systemd hands it to the service; here it is lent for one command.
if [ "${1:-}" = enrol ] && [ -n "$become" ]; then
    CREDENTIALS_DIRECTORY=$(mktemp -d /run/promptd-lent.XXXXXX)
    export CREDENTIALS_DIRECTORY
    trap 'rm -rf "$CREDENTIALS_DIRECTORY"' EXIT
    trap 'exit 130' INT TERM HUP
    for file in /etc/promptd/credentials/*; do
        [ ! -f "$file" ] || cp "$file" "$CREDENTIALS_DIRECTORY/promptd_${file##*/}"
    done
    chown -R promptd: "$CREDENTIALS_DIRECTORY"
    $become /opt/promptd/current/bin/promptd "$@"
    exit
fi
# shellcheck disable=SC2086 # several words, or none
exec $become /opt/promptd/current/bin/promptd "$@"
