# Releases beside each other in /opt/promptd, and how one follows another; read by install.sh, which has the names.
#
# Each release has a folder of its own, with its own Python packages and units; one link says which one runs. A
# release becomes complete before the link is switched, and the one before it is kept.
#
# From the first file that is changed until what is to run has come up, a note on the disk says what is being done, and
# how it was before; settings and drop-ins of before lie beside it. Whatever cuts a change off, the next one goes on from
# there: forward, or back to how it was.
# shellcheck shell=sh disable=SC2154

SETTLED_S=10 # a release that is ready, and still the same process after this time, has come up
ROOM_FACTOR=5 # unpacked, the packages are 3 to 4 times as large as their wheels

release_of() {
    target=$(readlink "$PLACE/$1" 2> /dev/null) || return 0
    echo "${target##*/}"
}

# A folder without its mark is what an attempt left that was cut off; nothing is started from there.
is_complete() {
    [ -e "$PLACE/releases/$1/.complete" ]
}

make_release() {
    ! is_complete "$release" || return 0
    [ "$ran" != "$release" ] || unsettle
    folder=$PLACE/releases/$release
    mkdir -p "$PLACE/releases"
    check_room
    say "installing release $release into $folder"
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$here/wheels" \
        --no-deps --require-hashes -r "$here/constraints.txt" || fail "the packages cannot be installed; see above"
    "$folder/bin/python" -c 'import agent.app, llama_cpp, onnxruntime' ||
        fail "release $release does not run on this system; build its wheels on a system as old as this one"
    cp -R "$here/units" "$here/install.sh" "$here/releases.sh" "$here/as-service.sh" "$here/VERSION" "$folder/"
    sync
    touch "$folder/.complete"
}

check_room() {
    wheels_kib=$(du -sk "$here/wheels" | cut -f 1)
    free_kib=$(df -Pk "$PLACE" | awk 'NR == 2 { print $4 }')
    [ "$free_kib" -gt $((wheels_kib * ROOM_FACTOR)) ] ||
        fail "$PLACE has $((free_kib / 1024)) MiB free and needs $((wheels_kib * ROOM_FACTOR / 1024)); free some space"
}

remove_release() {
    rm -f "$1/.complete"
    sync "$1"
    rm -rf "$1"
}

# How it is before anything is changed: which release `ran`, which one `earlier`, and whether a person had it stopped.
# A change that was cut off has noted how it was before it, and what it was `noted` for: a verb and its `goal`.
remember() {
    noted='' goal='' ran=$(release_of current) earlier=$(release_of previous) was=running
    is_complete "$ran" || ran=$earlier
    if [ ! -e "$UNITS/$service" ] || ! is_complete "$ran"; then ran=''; fi # what an uninstallation has left
    if [ -n "$ran" ] && is_booted && [ "$(systemctl is-active "$service")" = inactive ]; then was=stopped; fi
    ! is_settled || return 0
    read -r word_1 word_2 word_3 word_4 word_5 _ < "$PLACE/unsettled" || true
    [ "$word_5" = running ] || [ "$word_5" = stopped ] || return 0 # not whole
    noted=$word_1 goal=$word_2 ran=${word_3#-} earlier=${word_4#-} was=$word_5
}

unsettle() {
    note="$verb ${release:--} ${ran:--} ${earlier:--} $was $product"
    [ "$note" != "$(cat "$PLACE/unsettled" 2> /dev/null)" ] || return 0
    mkdir -p "$PLACE"
    ! is_settled || rm -rf "$PLACE/before" # of a change that was finished, and cut off while it cleared up
    echo "$note" > "$PLACE/unsettled.new" || fail "nothing can be written into $PLACE; make room on its disk"
    sync "$PLACE/unsettled.new"
    mv "$PLACE/unsettled.new" "$PLACE/unsettled"
    sync "$PLACE"
}

is_settled() {
    [ ! -e "$PLACE/unsettled" ]
}

settled() {
    rm -f "$PLACE/unsettled"
    rm -rf "$PLACE/before" "$PLACE"/*.new
}

# Lays settings down, and keeps those of before the first attempt, where one was cut off.
replace_settings() {
    unsettle
    mkdir -p "$PLACE/before"
    if [ ! -e "$PLACE/before/kept" ]; then
        if [ -e "$SETTINGS/promptd.toml" ]; then cp "$SETTINGS/promptd.toml" "$PLACE/before/promptd.toml"; fi
        sync
        touch "$PLACE/before/kept"
    fi
    cp "$1" "$PLACE/before/laid-down"
    place "$1" "$SETTINGS/promptd.toml" 640
}

# What a person has written since is his, and stays.
bring_settings_back() {
    if [ -e "$PLACE/before/kept" ] && cmp -s "$PLACE/before/laid-down" "$SETTINGS/promptd.toml"; then
        if [ -e "$PLACE/before/promptd.toml" ]; then
            place "$PLACE/before/promptd.toml" "$SETTINGS/promptd.toml" 640
        else
            rm -f "$SETTINGS/promptd.toml"
        fi
        systemd-tmpfiles --create "$FOLDERS/$product.conf" # its owner
    fi
    rm -f "$PLACE/before/kept"
}

bring_back() {
    bring_settings_back
    take_drop_ins_back
}

has_before() {
    [ -e "$PLACE/before/kept" ] || [ -e "$PLACE/before/drop-ins" ]
}

take_drop_ins_back() {
    device=''
    [ -e "$PLACE/before/drop-ins" ] || return 0
    while read -r drop_in; do rm -f "$UNITS/$drop_in"; done < "$PLACE/before/drop-ins"
    rm -f "$PLACE/before/drop-ins"
}

# Makes a complete release the one that runs, and goes back to the one that ran if it does not come up.
change_to() {
    before=$ran
    [ "$ran" != "$1" ] || before=$earlier
    put_in_place "$1" "$before"
    if is_settled && is_up; then
        say "release $1 is installed already"
    elif start; then
        settled
        forget_others
        say "release $1 is in place"
    else
        go_back_from "$1"
    fi
}

go_back_from() {
    if [ -z "$ran" ] || { [ "$ran" = "$1" ] && ! has_before; }; then
        take_drop_ins_back
        fail "$product does not come up; $why"
    fi
    is_complete "$ran" || fail "release $1 did not come up, and release $ran is gone; $why"
    say "release $1 did not come up; going back to release $ran, with the settings of before"
    bring_back
    put_in_place "$ran" "$earlier"
    if ! start; then
        verb=retreat && unsettle
        fail "release $ran does not come up either; look at the settings: $why"
    fi
    settled
    fail "release $1 did not come up, and release $ran runs again; $why"
}

roll_back() {
    remember
    release=$(release_of previous)
    case $noted in
        rollback) release=$goal ;;
        retreat) release=$earlier ;;
        install | upgrade) if [ "$goal" != "$ran" ] || has_before; then release=$ran; fi ;;
        uninstall) fail "the last uninstall was not finished; run it again, or install" ;;
    esac
    [ -z "$noted" ] || say "the last $noted was not finished"
    [ -n "$noted" ] || [ "$release" != "$ran" ] || release=''
    [ -n "$release" ] || fail "there is no release to go back to"
    is_complete "$release" || fail "release $release is gone; install its bundle"
    is_settled || bring_back
    change_to "$release"
}

# Both links before anything is started: a box that loses its power meanwhile knows the way back.
put_in_place() {
    place_units "$1"
    if [ -n "$2" ]; then point previous "$2"; else rm -f "$PLACE/previous"; fi
    point current "$1"
    if [ -e "$PLACE/current/$command" ]; then
        ln -sfn "$PLACE/current/$command" "$COMMANDS/$product"
    else
        rm -f "$COMMANDS/$product"
    fi
    is_settled || sync
}

place_units() {
    placed=$PLACE/releases/$1/units
    for unit in $service $parts; do
        if [ -e "$placed/$unit" ]; then place "$placed/$unit" "$UNITS/$unit"; else rm -f "$UNITS/$unit"; fi
    done
    rm -f "$UNITS"/*.service.d/*.placing
    # Drop-ins for a device are there because somebody has asked for them, now or at an earlier install.
    for drop_in in "$placed"/*.service.d/*.conf; do
        name=${drop_in#"$placed/"}
        if [ -e "$UNITS/$name" ]; then
            place "$drop_in" "$UNITS/$name"
        elif [ "${name##*/}" = "$device.conf" ]; then
            unsettle
            mkdir -p "$PLACE/before"
            echo "$name" >> "$PLACE/before/drop-ins"
            place "$drop_in" "$UNITS/$name"
        fi
    done
    ! is_booted || systemctl daemon-reload
}

point() {
    [ "$(release_of "$1")" != "$2" ] || return 0
    unsettle
    ln -sfn "releases/$2" "$PLACE/$1.new"
    mv -T "$PLACE/$1.new" "$PLACE/$1"
}

forget_others() {
    for folder in "$PLACE"/releases/*; do
        case ${folder##*/} in
            "$(release_of current)" | "$(release_of previous)") ;;
            *) say "removing release ${folder##*/}" && remove_release "$folder" ;;
        esac
    done
}

# Starts what is to run, and waits until it has come up; what a person has stopped stays stopped.
start() {
    if [ -z "$ran" ]; then systemctl --quiet enable "$service" || return 1; fi
    if ! is_booted; then
        say "systemd does not run here; $product starts with the next boot"
    elif [ -n "$needed" ] && [ ! -e "$needed" ]; then
        say "$product waits for $needed; once it is there: systemctl start $product"
    elif [ "$was" = stopped ] && [ "$(systemctl is-active "$service")" = inactive ]; then
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
    [ -d /run/systemd/system ] && ! systemd-detect-virt --quiet --chroot
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
