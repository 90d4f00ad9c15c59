"""`install.sh` step by step, on folders that stand for a box: what follows what, and what a cut leaves."""

import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "provisioning/scripts"
GOES_WRONG = "start() { false; }"
COMES_UP = "start() { true; }"
ONLY_SECOND = 'start() { [ "$(release_of current)" = second ]; }'
ONE_LINK = 'point() { unsettle; [ "$1" = previous ] || exit 0; ln -sfn "releases/$2" "$PLACE/$1"; }'
CUTS = ["unsettle() { exit 0; }", "place_units() { unsettle; exit 0; }", ONE_LINK, "start() { exit 0; }"]
"""Where the power goes: before anything, before the links, between them, and after them."""
UPGRADE = "remember; change_to third"
ROLLBACK = "verb=rollback; roll_back"


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """Return what stands for /opt/promptd: three releases without content, of which the second runs."""
    for name in ("first", "second", "third"):
        (tmp_path / "releases" / name / "units").mkdir(parents=True)
        (tmp_path / "releases" / name / ".complete").touch()
    for folder in ("bin", "units", "etc"):
        (tmp_path / folder).mkdir()
    (tmp_path / "promptd.conf").touch()
    (tmp_path / "current").symlink_to("releases/second")
    (tmp_path / "previous").symlink_to("releases/first")
    return tmp_path


def installing(place: Path, words: str) -> list[str]:
    """Return a command that does this with the functions of install.sh, on a box that is not booted."""
    role = f"PLACE={place} UNITS={place}/units COMMANDS={place}/bin device='' service='' parts=''"
    role += f" SETTINGS={place}/etc FOLDERS={place}"
    given = "product=promptd needed='' command=VERSION why='look there' verb=upgrade release=third"
    script = (SCRIPTS / "install.sh").read_text().replace('main "$@"', "")
    body = f"{script}\n{role} {given}\nis_booted() {{ false; }}\n{words}"
    return ["sh", "-c", body, str(SCRIPTS / "install.sh")]


def linked(place: Path) -> tuple[str, str]:
    """Return the release that runs, and the one before."""
    return (place / "current").readlink().name, (place / "previous").readlink().name


def done(place: Path, *words: str) -> str:
    """Do this as `installing`, and return what was said of faults."""
    command = installing(place, "; ".join(words))
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["install", "--quick"], "unknown option --quick"),
        (["install", "--settings"], "--settings needs a file"),
    ],
)
def test_install_tells_what_is_wrong_with_its_words(words: list[str], sentence: str) -> None:
    done = subprocess.run(["sh", SCRIPTS / "install.sh", *words], capture_output=True, text=True, check=False)

    assert sentence in done.stderr


def test_what_is_placed_has_its_content_on_the_disk_before_its_name(tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text("device_id = 'box-1'")
    trace = tmp_path / "trace"
    watch = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2", "-o", str(trace)]
    place = installing(tmp_path, f"remember; place {tmp_path}/new.toml {tmp_path}/promptd.toml")

    subprocess.run([*watch, *place], check=True)

    calls = [
        line.split()[1].partition("(")[0] for line in trace.read_text().splitlines() if "toml.placing" in line
    ]
    assert [call.rstrip("at2") for call in calls] == ["fsync", "rename"]


def test_a_box_that_loses_its_power_while_a_release_settles_knows_the_one_before(releases: Path) -> None:
    done(releases, "start() { exit 0; }", UPGRADE)

    assert linked(releases) == ("third", "second")


def test_a_release_that_does_not_come_up_leaves_both_links_as_they_were(releases: Path) -> None:
    said = done(releases, ONLY_SECOND, UPGRADE)

    assert "release second runs again" in said
    assert linked(releases) == ("second", "first")


def test_a_box_does_not_go_back_to_the_release_that_runs(releases: Path) -> None:
    said = done(releases, "ln -sfn releases/second $PLACE/previous", ROLLBACK)

    assert "there is no release to go back to" in said


@pytest.mark.parametrize("cut", CUTS)
def test_an_upgrade_that_is_cut_off_is_finished_by_the_next(releases: Path, cut: str) -> None:
    done(releases, cut, UPGRADE)

    done(releases, COMES_UP, UPGRADE)

    assert linked(releases) == ("third", "second")
    assert not (releases / "unsettled").exists()


@pytest.mark.parametrize("cut", CUTS)
def test_a_bad_upgrade_that_was_cut_off_is_taken_back_by_the_next(releases: Path, cut: str) -> None:
    done(releases, cut, UPGRADE)

    said = done(releases, ONLY_SECOND, UPGRADE)

    assert "release second runs again" in said
    assert linked(releases) == ("second", "first")


@pytest.mark.parametrize("cut", CUTS[1:])
def test_a_roll_back_takes_an_upgrade_back_that_was_cut_off(releases: Path, cut: str) -> None:
    done(releases, cut, UPGRADE)

    done(releases, COMES_UP, ROLLBACK)

    assert linked(releases) == ("second", "first")
    assert not (releases / "unsettled").exists()


@pytest.mark.parametrize("cut", CUTS)
def test_a_roll_back_that_is_cut_off_is_finished_and_not_turned_round(releases: Path, cut: str) -> None:
    done(releases, cut, ROLLBACK)

    done(releases, COMES_UP, ROLLBACK)

    assert linked(releases) == ("first", "second")


def test_a_first_installation_is_one_until_it_has_come_up(releases: Path) -> None:
    for link in ("current", "previous"):
        (releases / link).unlink()
    done(releases, GOES_WRONG, UPGRADE)

    seen = f'start() {{ echo "[$ran]" >> {releases}/seen; }}'
    done(releases, seen, UPGRADE)
    done(releases, seen, "remember", "unsettle", "change_to third")

    assert (releases / "seen").read_text().split() == ["[]", "[third]"]


@pytest.mark.parametrize("note", ["", "\0\0\0", "upgrade third", "some words that say nothing"])
def test_a_note_that_is_not_whole_tells_nothing(releases: Path, note: str) -> None:
    (releases / "unsettled").write_text(note)

    done(releases, COMES_UP, UPGRADE)

    assert linked(releases) == ("third", "second")
    assert not (releases / "unsettled").exists()


@pytest.mark.parametrize(
    ("there", "verb", "role"),
    [
        ([], "install", "box"),
        (["state"], "install", "box"),
        (["units/promptd.service", "fleet"], "uninstall", "box"),
        (["units/promptd-fleet.service", "state"], "uninstall", "fleet"),
        (["fleet"], "uninstall", "unknown"),
        (["fleet"], "install", "unknown"),
        (["fleet", "state"], "uninstall", "unknown"),
    ],
)
def test_what_a_machine_is_shows_in_its_units_and_folders(
    tmp_path: Path, there: list[str], verb: str, role: str
) -> None:
    for name in there:
        (tmp_path / name).mkdir(parents=True)
    look = installing(tmp_path, f"FLEET={tmp_path}/fleet; STATE={tmp_path}/state; verb={verb}; role_here")

    told = subprocess.run(look, capture_output=True, text=True, check=True).stdout

    assert told.strip() == role


@pytest.mark.parametrize("product", ["promptd", "promptd-fleet"])
def test_a_first_installation_that_was_cut_off_has_noted_what_it_is_of(tmp_path: Path, product: str) -> None:
    done(tmp_path, f"product={product}", "remember", "unsettle")
    (tmp_path / "fleet").mkdir()

    look = installing(tmp_path, f"FLEET={tmp_path}/fleet; role_here")
    told = subprocess.run(look, capture_output=True, text=True, check=True).stdout

    assert told.strip() == ("box" if product == "promptd" else "fleet")


def test_what_was_added_for_a_device_goes_where_nothing_comes_up_with_it(releases: Path) -> None:
    for release in ("second", "third"):
        folder = releases / "releases" / release / "units/promptd.service.d"
        folder.mkdir()
        (folder / "jetson.conf").touch()

    done(releases, ONLY_SECOND, "device=jetson", UPGRADE)

    assert not (releases / "units/promptd.service.d/jetson.conf").exists()
    assert not (releases / "before").exists()


@pytest.mark.parametrize("before", ["old = 1\n", ""], ids=["settings", "none"])
@pytest.mark.parametrize("cut", ["start() { exit 0; }", GOES_WRONG])
def test_settings_of_before_come_back_with_a_roll_back(releases: Path, before: str, cut: str) -> None:
    own, new = releases / "etc/promptd.toml", releases / "new.toml"
    new.write_text("new = 1\n")
    if before:
        own.write_text(before)

    done(releases, cut, "remember", "release=second", f"replace_settings {new}", "change_to second")
    done(releases, COMES_UP, ROLLBACK)

    assert (own.read_text() if own.exists() else "") == before


def test_what_a_person_has_written_after_a_change_was_cut_off_stays(releases: Path) -> None:
    own, new = releases / "etc/promptd.toml", releases / "new.toml"
    own.write_text("old = 1\n")
    new.write_text("new = 1\n")
    done(releases, "start() { exit 0; }", "remember", f"replace_settings {new}", "change_to third")

    own.write_text("mine = 1\n")
    done(releases, COMES_UP, ROLLBACK)

    assert own.read_text() == "mine = 1\n"


def test_where_the_release_before_does_not_come_up_either_the_one_before_it_can_be_reached(
    releases: Path,
) -> None:
    done(releases, GOES_WRONG, UPGRADE)

    done(releases, COMES_UP, ROLLBACK)

    assert linked(releases)[0] == "first"


def test_a_release_that_is_removed_is_incomplete_first(releases: Path) -> None:
    done(releases, 'rm() { [ $1 = -f ] && command rm "$@"; }', "remove_release $PLACE/releases/third")

    assert (releases / "releases/third").exists()
    assert not (releases / "releases/third/.complete").exists()


def test_a_release_without_the_command_leaves_none_that_leads_nowhere(releases: Path) -> None:
    (releases / "releases/third/VERSION").touch()

    done(releases, COMES_UP, UPGRADE)
    is_there = (releases / "bin/promptd").exists()
    done(releases, COMES_UP, ROLLBACK)

    assert is_there
    assert not (releases / "bin/promptd").is_symlink()


def test_what_lies_there_of_a_change_that_was_finished_is_not_brought_back(releases: Path) -> None:
    own, new = releases / "etc/promptd.toml", releases / "new.toml"
    own.write_text("old = 1\n")
    new.write_text("new = 1\n")
    kept = "settled() { rm -f $PLACE/unsettled; }"  # the power goes before the rest
    done(releases, COMES_UP, kept, "remember", f"replace_settings {new}", "change_to third")

    done(releases, COMES_UP, ROLLBACK)

    assert own.read_text() == "new = 1\n"
    assert not (releases / "before").exists()
