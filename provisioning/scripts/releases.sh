# Releases beside each other in /opt/promptd, and how one follows another; read by install.sh, which has the names.
#
# Each release has a folder of its own, with its own Python packages and units; one link says which one runs. A
# release becomes complete before the link is switched, and the one before it is kept.
# shellcheck shell=sh disable=SC2154

SETTLED_S=10 # a release that is ready, and still the same process after this time, has come up
ROOM_FACTOR=5 # unpacked, the packages are 3 to 4 times as large as their wheels

release_of() {
    target=$(readlink "$PLACE/$1" 2> /dev/null) || return 0
    echo "${target##*/}"
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

# Makes a complete release the one that runs, and takes it back if it does not come up.
switch_to() {
    before=$(release_of current) earlier=$(release_of previous)
    say "switching from ${before:-nothing} to release $1"
    put_in_place "$1" "$before"
    if settle; then
        forget_others
        say "release $1 is in place"
        return
    fi
    [ -n "$before" ] || fail "$product is installed but does not come up; $why"
    say "release $1 did not come up; going back to release $before"
    put_in_place "$before" "$earlier"
    settle || fail "release $before does not come up either; look at the settings: $why"
    fail "release $1 did not come up, and release $before runs again; $why"
}

# Both links at once, before anything is started: a box that loses its power meanwhile knows the way back.
put_in_place() {
    unsettle
    place_units "$1"
    if [ -n "$2" ]; then point previous "$2"; else rm -f "$PLACE/previous"; fi
    point current "$1"
    if [ -e "$PLACE/current/$command" ]; then
        ln -sfn "$PLACE/current/$command" "$COMMANDS/$product"
    else
        rm -f "$COMMANDS/$product"
    fi
    sync
}

place_units() {
    placed=$PLACE/releases/$1/units
    for unit in $service $parts; do
        if [ -e "$placed/$unit" ]; then place "$placed/$unit" "$UNITS/$unit"; else rm -f "$UNITS/$unit"; fi
    done
    # Drop-ins for a device are there because somebody has asked for them, now or at an earlier install.
    for drop_in in "$placed"/*.service.d/*.conf; do
        name=${drop_in#"$placed/"}
        if [ "${name##*/}" = "$device.conf" ] || [ -e "$UNITS/$name" ]; then
            place "$drop_in" "$UNITS/$name"
        fi
    done
    ! is_booted || systemctl daemon-reload
}

point() {
    ln -sfn "releases/$2" "$PLACE/$1.new"
    mv -T "$PLACE/$1.new" "$PLACE/$1"
}

forget_others() {
    for folder in "$PLACE"/releases/*; do
        case ${folder##*/} in
            "$(release_of current)" | "$(release_of previous)") ;;
            *) say "removing release ${folder##*/}" && rm -rf "$folder" ;;
        esac
    done
}

roll_back() {
    release=$(release_of previous)
    running=$(release_of current)
    if [ "$(noted 1)" = rollback ]; then
        release=$(noted 2)
        say "finishing the roll-back to release $release, which was cut off"
        if [ "$release" = "$running" ]; then
            settle || fail "release $release does not come up; $why"
            return
        fi
    fi
    [ "${release:-$running}" != "$running" ] || fail "there is no release to go back to"
    [ -e "$PLACE/releases/$release/.complete" ] || fail "release $release is gone; install its bundle"
    switch_to "$release"
}

# From the first file that is changed until what runs has come up, a note on the disk says which verb is at work, for
# which release, and which one ran before it: what is cut off is finished by the next attempt.
unsettle() {
    note="$verb $release $(ran_before)"
    mkdir -p "$PLACE"
    echo "$note" > "$PLACE/unsettled.new"
    sync "$PLACE/unsettled.new"
    mv "$PLACE/unsettled.new" "$PLACE/unsettled"
    sync "$PLACE"
}

noted() {
    [ ! -e "$PLACE/unsettled" ] || cut -d ' ' -f "$1" "$PLACE/unsettled"
}

ran_before() {
    if [ -e "$PLACE/unsettled" ]; then noted 3; else release_of current; fi
}

# Starts what is to run, and has an answer: from here on nothing is left to be finished.
settle() {
    came_up=yes
    start || came_up=''
    rm -f "$PLACE/unsettled"
    [ -n "$came_up" ]
}

# Starts what is to run, and waits until it has come up; what a person has stopped stays stopped.
start() {
    ran=$(ran_before)
    [ -n "$ran" ] || systemctl --quiet enable "$service"
    if ! is_booted; then
        say "systemd does not run here; $product starts with the next boot"
    elif [ -n "$needed" ] && [ ! -e "$needed" ]; then
        say "$product waits for $needed; once it is there: systemctl start $product"
    elif [ -n "$ran" ] && [ "$(systemctl is-active "$service")" = inactive ]; then
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
