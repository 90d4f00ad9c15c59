#!/bin/sh
# Installs promptd on this box from the bundle that this file lies in. Asks nothing, needs no network, says each step.
#
#   install.sh install [--settings FILE] [--credentials FOLDER] [--device nvidia|jetson]
#   install.sh install --fleet    on the operator's machine: promptd-fleet and its service, and no agent
#   install.sh upgrade | rollback | status | uninstall [--purge] [--fleet | --box]
#
# `install` and `upgrade` are the same: what is there already is not made again, what was cut off is finished, and a
# new release that does not come up is taken back. How releases lie beside each other is in releases.sh.
#
# An installed release has a copy of this file: /opt/promptd/current/install.sh rollback | status | uninstall.
set -eu

PLACE=/opt/promptd
SETTINGS=/etc/promptd
STATE=/var/lib/promptd
FLEET=/var/lib/promptd-fleet
UNITS=/usr/local/lib/systemd/system
PACKAGED=/lib/systemd/system/promptd.service
ACCOUNTS=/usr/local/lib/sysusers.d
FOLDERS=/usr/local/lib/tmpfiles.d
COMMANDS=/usr/local/bin

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=provisioning/scripts/releases.sh
. "$here/releases.sh"

say() {
    echo "promptd: $*"
}

fail() {
    echo "promptd: $*" >&2
    exit 1
}

main() {
    verb=${1:-}
    case $verb in '' | help | -h | --help) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" && exit ;; esac
    shift
    settings='' credentials='' device='' purge='' asked=''
    while [ $# -gt 0 ]; do
        case $1 in
            --settings) settings=${2:?--settings needs a file} && shift ;;
            --credentials) credentials=${2:?--credentials needs a folder} && shift ;;
            --device) device=${2:?--device needs nvidia or jetson} && shift ;;
            --fleet) asked=fleet ;;
            --box) asked=box ;;
            --purge) purge=yes ;;
            *) fail "unknown option $1; the first lines of $0 have them all" ;;
        esac
        shift
    done
    take_role
    why="journalctl -u $product tells why"
    case $verb in
        install | upgrade) alone && install ;;
        rollback) alone && roll_back ;;
        uninstall) alone && uninstall ;;
        status) status ;;
        *) fail "say what to do, or --help" ;;
    esac
}

# What runs on this machine: `service`, and `parts`, which come and go with it; `command` is what a person types.
take_role() {
    role=$(role_here)
    if [ "${asked:-$role}" = fleet ]; then
        product=promptd-fleet flag=--fleet service=promptd-fleet.service parts='' users=promptd-fleet
        command=bin/promptd-fleet
        folders=$FLEET needed=$FLEET/fleet.yaml
        kept="$FLEET with the authority, the registry and the audit log"
        [ -z "$settings$credentials$device" ] || fail "the operator's machine has its settings in $needed; leave the options out"
    else
        product=promptd flag=--box service=promptd.service parts='promptd-engine.service promptd-engine.socket'
        users='promptd promptd-engine' folders="$SETTINGS $STATE /run/promptd" needed='' command=as-service.sh
        kept="$SETTINGS, and $STATE with prompts, models and the identity"
    fi
    if [ "$role" = unknown ] && [ -z "$asked" ]; then
        fail "there is a fleet in $FLEET; say --fleet if that is meant, or --box for the agent"
    elif [ -e "$UNITS/promptd.service" ] && [ "$product" = promptd-fleet ]; then
        fail "promptd itself runs on this machine; let the issuing key of a fleet be where no agent is"
    elif [ -e "$UNITS/promptd-fleet.service" ] && [ "$product" = promptd ]; then
        fail "promptd-fleet runs on this machine; let its issuing key be where no agent is"
    fi
}

# What the machine is already, it stays. Where only a fleet's folder lies, nobody guesses who is meant.
role_here() {
    noted_product=$(cut -s -d ' ' -f 6 "$PLACE/unsettled" 2> /dev/null) || true
    if [ -e "$UNITS/promptd-fleet.service" ] || [ "$noted_product" = promptd-fleet ]; then
        echo fleet
    elif [ -e "$UNITS/promptd.service" ] || [ "$noted_product" = promptd ] || [ ! -d "$FLEET" ]; then
        echo box
    else
        echo unknown
    fi
}

# Nobody else changes this machine meanwhile: no other install.sh, and not apt.
alone() {
    [ "$(id -u)" = 0 ] || fail "only root can do this; use sudo"
    [ ! -e "$PACKAGED" ] || [ -e "$UNITS/$service" ] || [ -e "$PLACE/unsettled" ] ||
        fail "the Debian package runs on this machine; bring it on with apt, or first run: apt remove promptd"
    exec 9> /run/promptd-install.lock  # /run/lock is open to everybody
    flock -n 9 || fail "another install.sh runs; wait for it"
}

install() {
    [ -d "$here/wheels" ] || fail "there are no wheels beside $0; run the install.sh of an unpacked bundle"
    [ -z "$device" ] || [ -f "$here/units/promptd-engine.service.d/$device.conf" ] ||
        fail "there is no drop-in for $device; --device takes nvidia or jetson"
    [ -z "$settings" ] || [ -f "$settings" ] || fail "$settings is not a file"
    [ -z "$credentials" ] || [ -d "$credentials" ] || fail "there is no folder $credentials"
    release=$(cat "$here/VERSION")
    remember
    check_bundle
    make_release
    check_settings
    place_accounts
    place_settings
    change_to "$release"
}

check_bundle() {
    say "checking the files of the bundle"
    (cd "$here" && sha256sum --check --quiet SHA256SUMS) || fail "the bundle is damaged; copy it here again"
    read -r machine python < "$here/TARGET"
    [ "$machine" = "$(uname -m)" ] || fail "this bundle is for $machine, and this box is $(uname -m)"
    command -v "$python" > /dev/null || fail "this bundle needs $python; install it, or build a bundle on a system like this one"
    "$python" -c 'import ensurepip, venv' 2> /dev/null || fail "$python cannot make environments; install python3-venv"
}

# Before they replace what a box runs with.
check_settings() {
    [ -n "$settings" ] || return 0
    STATE_DIRECTORY=$STATE "$PLACE/releases/$release/bin/promptd" check --config "$settings" > /dev/null ||
        fail "$settings has a mistake; what runs here was not touched"
}

place_accounts() {
    place "$here/units/$product.sysusers" "$ACCOUNTS/$product.conf"
    place "$here/units/$product.tmpfiles" "$FOLDERS/$product.conf"
    systemd-sysusers "$ACCOUNTS/$product.conf"
    systemd-tmpfiles --create "$FOLDERS/$product.conf"
}

place_settings() {
    for name in promptd.toml ca.pem credentials/claim.pem credentials/claim.key credentials/token; do
        rm -f "$SETTINGS/$name.placing" # of an attempt that was cut off
    done
    if [ -n "$settings" ] && ! cmp -s "$settings" "$SETTINGS/promptd.toml"; then replace_settings "$settings"; fi
    for name in claim.pem claim.key token; do
        [ -z "$credentials" ] || [ ! -e "$credentials/$name" ] || place "$credentials/$name" "$SETTINGS/credentials/$name" 600
    done
    [ -z "$credentials" ] || [ ! -e "$credentials/ca.pem" ] || place "$credentials/ca.pem" "$SETTINGS/ca.pem"
    systemd-tmpfiles --create "$FOLDERS/$product.conf" # owners and modes of what has just come
}

# Writes a file so that a power cut leaves the old one or the new one: a name that is on the disk before the content
# would be an empty unit, or empty settings.
place() {
    mkdir -p "$(dirname "$2")"
    rm -f "$2.placing"
    ! cmp -s "$1" "$2" || return 0
    unsettle
    (umask 077 && cp "$1" "$2.placing")
    chmod "${3:-644}" "$2.placing"
    sync "$2.placing"
    mv "$2.placing" "$2"
}

status() {
    release=$(release_of current)
    [ -n "$release" ] || fail "promptd is not installed; run: install.sh install"
    echo "release: $release"
    echo "before: $(release_of previous)"
    remember
    is_settled || echo "unfinished: ${noted:-upgrade} of release ${goal:-$release}; run it again, or $(way_out)"
    for unit in $service $parts; do
        echo "$unit: $(systemctl is-active "$unit" 2> /dev/null || true)"
    done
}

way_out() {
    case $noted in
        uninstall) echo install ;;
        *) echo rollback ;;
    esac
}

uninstall() {
    release=$(release_of current) ran='' earlier='' was=running
    (unsettle && bring_settings_back) 2> /dev/null || true # what was never tried is not kept; on a full disk it is
    say "stopping and removing $product"
    # shellcheck disable=SC2086 # a list of units
    ! is_booted || systemctl stop $service $parts 2> /dev/null || true
    systemctl --quiet disable "$service" 2> /dev/null || true
    for unit in $service $parts; do
        rm -rf "${UNITS:?}/$unit" "$UNITS/$unit.placing" "$UNITS/$unit.d"
    done
    ! is_booted || systemctl daemon-reload
    rm -f "$PLACE/current" "$PLACE/previous" "${COMMANDS:?}/$product"
    for folder in "$PLACE"/releases/*; do
        [ ! -e "$folder" ] || remove_release "$folder"
    done
    for name in promptd promptd-fleet; do # only one of them is installed
        rm -f "$ACCOUNTS/$name.conf" "$ACCOUNTS/$name.conf.placing" "$FOLDERS/$name.conf" "$FOLDERS/$name.conf.placing"
    done
    for folder in "$UNITS" "$(dirname "$UNITS")" "$ACCOUNTS" "$FOLDERS"; do
        rmdir "$folder" 2> /dev/null || true # others may have something there
    done
    if [ -n "$purge" ]; then
        purge
    else
        say "kept: $kept; uninstall --purge $flag removes it"
    fi
    rm -rf "$PLACE" # with the note: from here on nothing is to be finished
}

purge() {
    say "removing $kept, and the users"
    for unit in $service $parts; do
        rm -rf "/etc/systemd/system/$unit.d" # what `systemctl edit` has made
    done
    # The group is gone soon, and its number may become another's: the serials are root's again (promptd.tmpfiles).
    for serial in /sys/class/dmi/id/product_serial /sys/class/dmi/id/board_serial; do
        [ ! -e "$serial" ] || { chown root:root "$serial" && chmod 400 "$serial"; } 2> /dev/null || true
    done
    for user in $users; do
        ! getent passwd "$user" > /dev/null || userdel "$user"
    done
    # shellcheck disable=SC2086 # a list of folders
    rm -rf $folders
}

main "$@"
