#!/bin/sh
# Sets one box up from the bundle that was made for it: installs promptd, if an install bundle for this kind of
# machine lies beside this script, and puts the settings and the way to the first certificate in place.
# As root, in the unpacked bundle:  sh provision.sh         Again is fine: nothing is done twice.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=${BOX_ROOT-} # where the box's files begin; for tests
promptd=$root/opt/promptd/current/bin/promptd
settings=$root/etc/promptd

say() { printf 'provision: %s\n' "$1" >&2; }

# Written beside and renamed, so that a power cut leaves the old file or the new one.
put() { # NAME MODE FOLDER
    [ -e "$here/$1" ] || return 0
    cp "$here/$1" "$3/.$1.new"
    chmod "$2" "$3/.$1.new"
    if getent group promptd > /dev/null && [ "$2" = 0640 ]; then chgrp promptd "$3/.$1.new"; fi
    sync "$3/.$1.new"
    mv "$3/.$1.new" "$3/$1"
}
mkdir -p "$settings/credentials"
chmod 0755 "$settings"
chmod 0700 "$settings/credentials"
put ca.pem 0644 "$settings"
put promptd.toml 0640 "$settings"
for secret in claim.pem claim.key token; do
    put "$secret" 0600 "$settings/credentials"
done
# What an earlier certificate brought along would win over these settings.
rm -f "$root/var/lib/promptd/provisioned.toml"
sync

machine=$(uname -m)
for bundle in "$here"/promptd-*-"$machine".tar.gz; do
    [ -e "$bundle" ] || continue
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    tar -xzf "$bundle" -C "$unpacked"
    installer=$(find "$unpacked" -maxdepth 2 -name install.sh | head -n 1)
    [ -n "$installer" ] || { say "$bundle holds no install.sh; build it again: make bundle"; exit 1; }
    sh "$installer" install
done
if [ ! -x "$promptd" ]; then
    say "promptd is not installed, and there is no bundle for $machine here; build one: make bundle, and apply again; or carry promptd along: promptd-fleet bundle NAME"
    exit 1
fi

# With a claim the box asks for its certificate by itself as soon as it runs. Without one it waits for
# `promptd identity accept`, and is started then.
if [ -e "$here/claim.pem" ]; then
    systemctl restart promptd
elif [ ! -e "$root/var/lib/promptd/identity/current" ]; then
    say "settings are in place; this box has no certificate yet: promptd-fleet apply, or promptd identity request"
fi
