#!/bin/sh
# Installs promptd on this box from the bundle that this file lies in. Asks nothing, needs no network, says each step.
#
#   install.sh install [--settings FILE] [--credentials FOLDER] [--device nvidia|jetson]
#   install.sh install --fleet    on the operator's machine: promptd-fleet and its service, and no agent
#   install.sh upgrade | rollback | status | uninstall [--purge]
#
# Each release has a folder of its own, with its own Python packages and units; one link says which one runs. A
# release becomes complete before the link is switched, and the one before it is kept. `install` and `upgrade` are
# the same: what is there already is not made again, and a new release that does not come up is taken back.
#
# An installed release has a copy of this file: /opt/promptd/current/install.sh rollback | status | uninstall.
set -eu

PLACE=/opt/promptd
SETTINGS=/etc/promptd
UNITS=/usr/local/lib/systemd/system
ACCOUNTS=/usr/local/lib/sysusers.d
FOLDERS=/usr/local/lib/tmpfiles.d
COMMANDS=/usr/local/bin
SETTLED_S=10 # a release that is ready, and still the same process after this time, has come up
ROOM_FACTOR=5 # unpacked, the packages are 3 to 4 times as large as their wheels

here=$(cd "$(dirname "$0")" && pwd)

say() {
    echo "promptd: $*"
}

fail() {
    echo "promptd: $*" >&2
    exit 1
}

main() {
    verb=${1:-}
    [ $# -eq 0 ] || shift
    settings='' credentials='' device='' purge='' changed='' fleet=''
    while [ $# -gt 0 ]; do
        case $1 in
            --settings) settings=${2:?--settings needs a file} && shift ;;
            --credentials) credentials=${2:?--credentials needs a folder} && shift ;;
            --device) device=${2:?--device needs nvidia or jetson} && shift ;;
            --fleet) fleet=yes ;;
            --purge) purge=yes ;;
            *) fail "unknown option $1; the first lines of $0 have them all" ;;
        esac
        shift
    done
    take_role
    case $verb in
        install | upgrade) only_one && install ;;
        rollback) only_one && roll_back ;;
        uninstall) only_one && uninstall ;;
        status) status ;;
        *) fail "say what to do: install, upgrade, rollback, status or uninstall" ;;
    esac
}

# What runs on this machine: `service`, and `parts`, which come and go with it; `command` is what a person types. What
# the machine is already, it stays.
take_role() {
    if [ -n "$fleet" ] && [ -e "$UNITS/promptd.service" ]; then
        fail "promptd itself runs on this machine; let the issuing key of the fleet be on one where nothing else does"
    elif [ -n "$fleet" ] || [ -e "$UNITS/promptd-fleet.service" ]; then
        product=promptd-fleet service=promptd-fleet.service parts='' users=promptd-fleet
        command=bin/promptd-fleet
        folders=/var/lib/promptd-fleet needed=/var/lib/promptd-fleet/fleet.yaml
        kept="$folders with the authority, the registry and the audit log"
        [ -z "$settings$credentials$device" ] || fail "this machine takes its settings from $needed; leave the options out"
    else
        product=promptd service=promptd.service parts='promptd-engine.service promptd-engine.socket'
        users='promptd promptd-engine' folders="$SETTINGS /var/lib/promptd /run/promptd" needed='' command=as-service.sh
        kept="$SETTINGS, and /var/lib/promptd with prompts, models and the identity"
    fi
}

only_one() {
    [ "$(id -u)" = 0 ] || fail "only root can do this; use sudo"
    exec 9> /run/promptd-install.lock  # /run/lock is open to everybody
    flock -n 9 || fail "another install.sh runs; wait for it"
}

install() {
    [ -d "$here/wheels" ] || fail "there are no wheels beside $0; run the install.sh of an unpacked bundle"
    [ -z "$device" ] || [ -f "$here/units/promptd-engine.service.d/$device.conf" ] ||
        fail "there is no drop-in for $device; --device takes nvidia or jetson"
    release=$(cat "$here/VERSION")
    before=$(release_of current)
    check_bundle
    make_release
    place_accounts
    place_settings
    if [ "$before" != "$release" ]; then
        switch_to "$release"
    else
        place_units "$release"
        say "release $release is installed already"
        { [ -z "$changed" ] && is_up; } || start || fail "$product does not come up; journalctl -u $product tells why"
    fi
}

check_bundle() {
    say "checking the files of the bundle"
    (cd "$here" && sha256sum --check --quiet SHA256SUMS) || fail "the bundle is damaged; copy it here again"
    read -r machine python < "$here/TARGET"
    [ "$machine" = "$(uname -m)" ] || fail "this bundle is for $machine, and this box is $(uname -m)"
    command -v "$python" > /dev/null || fail "this bundle needs $python; install it, or build a bundle on a system like this one"
    "$python" -c 'import ensurepip, venv' 2> /dev/null || fail "$python cannot make environments; install python3-venv"
}

# A folder without its mark is what an earlier attempt left; nothing runs from there.
make_release() {
    folder=$PLACE/releases/$release
    [ ! -e "$folder/.complete" ] || return 0
    mkdir -p "$PLACE/releases"
    check_room
    say "installing release $release into $folder"
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$here/wheels" \
        --no-deps --require-hashes -r "$here/constraints.txt" || fail "the packages cannot be installed; see above"
    "$folder/bin/python" -c 'import agent.app, llama_cpp, onnxruntime' ||
        fail "release $release does not run on this system; build its wheels on a system as old as this one"
    cp -R "$here/units" "$here/install.sh" "$here/as-service.sh" "$here/VERSION" "$folder/"
    sync
    touch "$folder/.complete"
}

check_room() {
    wheels_kib=$(du -sk "$here/wheels" | cut -f 1)
    free_kib=$(df -Pk "$PLACE" | awk 'NR == 2 { print $4 }')
    [ "$free_kib" -gt $((wheels_kib * ROOM_FACTOR)) ] ||
        fail "$PLACE has $((free_kib / 1024)) MiB free and needs $((wheels_kib * ROOM_FACTOR / 1024)); free some space"
}

place_accounts() {
    place "$here/units/$product.sysusers" "$ACCOUNTS/$product.conf"
    place "$here/units/$product.tmpfiles" "$FOLDERS/$product.conf"
    systemd-sysusers "$ACCOUNTS/$product.conf"
    systemd-tmpfiles --create "$FOLDERS/$product.conf"
}

place_settings() {
    [ -z "$settings" ] || place "$settings" "$SETTINGS/promptd.toml"
    for name in claim.pem claim.key token; do
        [ -z "$credentials" ] || [ ! -e "$credentials/$name" ] || place "$credentials/$name" "$SETTINGS/credentials/$name" 600
    done
    systemd-tmpfiles --create "$FOLDERS/$product.conf" # owners and modes of what has just come
}

# Writes a file so that a power cut leaves the old one or the new one: a name that is on the disk before the content
# would be an empty unit, or empty settings.
place() {
    mkdir -p "$(dirname "$2")"
    ! cmp -s "$1" "$2" || return 0
    changed=yes
    (umask 077 && cp "$1" "$2.new")
    chmod "${3:-644}" "$2.new"
    sync "$2.new"
    mv "$2.new" "$2"
}

place_units() {
    units=$PLACE/releases/$1/units
    for unit in $service $parts; do
        if [ -e "$units/$unit" ]; then place "$units/$unit" "$UNITS/$unit"; else rm -f "$UNITS/$unit"; fi
    done
    # Drop-ins for a device are there because somebody has asked for them, now or at an earlier install.
    for drop_in in "$units"/*.service.d/*.conf; do
        name=${drop_in#"$units/"}
        if [ "${name##*/}" = "$device.conf" ] || [ -e "$UNITS/$name" ]; then
            place "$drop_in" "$UNITS/$name"
        fi
    done
    ! is_booted || systemctl daemon-reload
}

release_of() {
    target=$(readlink "$PLACE/$1" 2> /dev/null) || return 0
    echo "${target##*/}"
}

point() {
    ln -sfn "releases/$2" "$PLACE/$1.new"
    mv -T "$PLACE/$1.new" "$PLACE/$1"
}

# Makes a complete release the one that runs, and takes it back if it does not come up.
switch_to() {
    before=$(release_of current) earlier=$(release_of previous)
    say "switching from ${before:-nothing} to release $1"
    put_in_place "$1" "$before"
    if start; then
        forget_others
        say "release $1 is in place"
        return
    fi
    [ -n "$before" ] || fail "$product is installed but does not come up; journalctl -u $product tells why"
    say "release $1 did not come up; going back to release $before"
    put_in_place "$before" "$earlier"
    start || fail "release $before does not come up either; look at the settings: journalctl -u $product tells why"
    fail "release $1 did not come up, and release $before runs again; journalctl -u $product tells why"
}

# Both links at once, before anything is started: a box that loses its power meanwhile knows the way back.
put_in_place() {
    place_units "$1"
    if [ -n "$2" ]; then point previous "$2"; else rm -f "$PLACE/previous"; fi
    point current "$1"
    ln -sfn "$PLACE/current/$command" "$COMMANDS/$product"
    sync
}

forget_others() {
    for folder in "$PLACE"/releases/*; do
        case ${folder##*/} in
            "$(release_of current)" | "$(release_of previous)") ;;
            *) say "removing release ${folder##*/}" && rm -rf "$folder" ;;
        esac
    done
}

# Starts what is to run, and waits until it has come up; what a person has stopped stays stopped.
start() {
    [ -n "$before" ] || systemctl --quiet enable "$service"
    if ! is_booted; then
        say "systemd does not run here; $product starts with the next boot"
    elif [ -n "$needed" ] && [ ! -e "$needed" ]; then
        say "$product waits for $needed; once it is there: systemctl start $product"
    elif [ -n "$before" ] && [ "$(systemctl is-active "$service")" = inactive ]; then
        say "$product was stopped, and stays so; start it with: systemctl start $product"
    else
        say "starting $product, and watching it for $SETTLED_S s"
        systemctl restart "$service" || return 1
        pid=$(main_pid)
        sleep "$SETTLED_S"
        is_up && [ "$(main_pid)" = "$pid" ]
    fi
}

is_booted() {
    [ -d /run/systemd/system ]
}

# One by one: asked about several units, is-active is content with one of them.
is_up() {
    is_booted || return 0
    for unit in $service $parts; do
        systemctl is-active --quiet "$unit" || return 1
    done
}

main_pid() {
    systemctl show --property MainPID --value "$service"
}

roll_back() {
    release=$(release_of previous)
    running=$(release_of current)
    [ "${release:-$running}" != "$running" ] || fail "there is no release to go back to"
    [ -e "$PLACE/releases/$release/.complete" ] || fail "release $release is gone; install its bundle"
    switch_to "$release"
}

status() {
    release=$(release_of current)
    [ -n "$release" ] || fail "promptd is not installed; run: install.sh install"
    echo "release: $release"
    echo "before: $(release_of previous)"
    for unit in $service $parts; do
        echo "$unit: $(systemctl is-active "$unit" 2> /dev/null || true)"
    done
}

uninstall() {
    say "stopping and removing $product"
    # shellcheck disable=SC2086 # a list of units
    ! is_booted || systemctl stop $service $parts 2> /dev/null || true
    systemctl --quiet disable "$service" 2> /dev/null || true
    for unit in $service $parts; do
        rm -rf "${UNITS:?}/$unit" "$UNITS/$unit.d"
    done
    ! is_booted || systemctl daemon-reload
    rm -rf "$PLACE" "${COMMANDS:?}/$product" "$ACCOUNTS/$product.conf" "$FOLDERS/$product.conf"
    for folder in "$UNITS" "$(dirname "$UNITS")" "$ACCOUNTS" "$FOLDERS"; do
        rmdir "$folder" 2> /dev/null || true # others may have something there
    done
    if [ -z "$purge" ]; then
        say "kept: $kept; uninstall --purge removes it"
        return
    fi
    say "removing $kept, and the users"
    # shellcheck disable=SC2086 # a list of folders
    rm -rf $folders
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
}

main "$@"
