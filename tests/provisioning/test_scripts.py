"""What is carried to a box, and the scripts that make it and take it in."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

HOUSE = Path(__file__).parents[2]
SCRIPTS = HOUSE / "provisioning/scripts"
SHELL_SCRIPTS = [
    path
    for path in sorted(SCRIPTS.rglob("*"))
    if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")
]
ROLE = HOUSE / "provisioning/ansible/roles/promptd"
RELEASE = "1.2.3-4"
COMPILED = "some_thing-4.5-cp311-abi3-linux_x86_64.whl"


def built(folder: Path, wheels: Path) -> Path:
    """Build a bundle of these wheels."""
    command = [str(SCRIPTS / "build-bundle"), str(wheels), str(folder), RELEASE]
    environment = os.environ | {"PYTHON": sys.executable, "SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def contents(bundle: Path) -> dict[str, bytes]:
    """Return the files of a bundle, without the one folder that they lie in."""
    with tarfile.open(bundle) as archive:
        files = [member for member in archive if member.isfile()]
        return {member.name.partition("/")[2]: archive.extractfile(member).read() for member in files}  # type: ignore[union-attr]  # a file has content


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Return a folder with wheels whose content does not matter."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("promptd-1.2.3-py3-none-any.whl", COMPILED):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """Return what stands for /opt/promptd: three releases without content, of which the second runs."""
    for name in ("first", "second", "third"):
        (tmp_path / "releases" / name / "units").mkdir(parents=True)
        (tmp_path / "releases" / name / ".complete").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "current").symlink_to("releases/second")
    (tmp_path / "previous").symlink_to("releases/first")
    return tmp_path


def installing(place: Path, words: str) -> list[str]:
    """Return a command that does this with the functions of install.sh, on a box that is not booted."""
    role = f"PLACE={place} UNITS={place}/units COMMANDS={place}/bin device='' service='' parts=''"
    given = "product=promptd needed='' command=VERSION why='look there' verb=upgrade release=third"
    script = (SCRIPTS / "install.sh").read_text().replace('main "$@"', "")
    body = f"{script}\n{role} {given}\nis_booted() {{ false; }}\n{words}"
    return ["sh", "-c", body, str(SCRIPTS / "install.sh")]


def linked(place: Path) -> tuple[str, str]:
    """Return the release that runs, and the one before."""
    return (place / "current").readlink().name, (place / "previous").readlink().name


@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing_wrong_with_a_script(script: Path) -> None:
    check = ["shellcheck", "--external-sources", "--check-sourced", str(script)]

    done = subprocess.run(check, cwd=HOUSE, capture_output=True, text=True, check=False)

    assert done.stdout == ""


def test_the_same_wheels_make_the_same_bundle(tmp_path: Path, wheels: Path) -> None:
    first = built(tmp_path / "first", wheels)
    for wheel in wheels.iterdir():
        os.utime(wheel, (1, 1))

    second = built(tmp_path / "second", wheels)

    assert second.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_bundle_is_named_after_its_release_and_the_machine_that_its_wheels_are_for(
    tmp_path: Path, wheels: Path, machine: str
) -> None:
    (wheels / COMPILED).rename(wheels / COMPILED.replace("x86_64", machine))

    bundle = built(tmp_path, wheels)

    files = contents(bundle)
    assert bundle.name == f"promptd-{RELEASE}-{machine}.tar.gz"
    assert files["VERSION"].decode() == f"{RELEASE}\n"
    assert files["TARGET"].decode().split() == [machine, "python{}.{}".format(*sys.version_info)]


def test_wheels_for_two_kinds_of_machines_make_no_bundle(tmp_path: Path, wheels: Path) -> None:
    shutil.copy(wheels / COMPILED, wheels / COMPILED.replace("x86_64", "aarch64"))

    with pytest.raises(subprocess.CalledProcessError) as refusal:
        built(tmp_path, wheels)

    assert "not those of one architecture" in refusal.value.stderr


def test_a_bundle_knows_the_digest_of_each_of_its_files(tmp_path: Path, wheels: Path) -> None:
    files = contents(built(tmp_path, wheels))

    rows = files.pop("SHA256SUMS").decode().splitlines()

    digests = {f"{hashlib.sha256(content).hexdigest()}  ./{name}" for name, content in files.items()}
    assert set(rows) == digests


def test_a_box_installs_exactly_the_wheels_of_the_bundle(tmp_path: Path, wheels: Path) -> None:
    files = contents(built(tmp_path, wheels))

    pins = files["constraints.txt"].decode().splitlines()

    digest = hashlib.sha256(files["wheels/promptd-1.2.3-py3-none-any.whl"]).hexdigest()
    assert pins[0] == f"promptd==1.2.3 --hash=sha256:{digest}"
    assert len(pins) == 2


def test_a_bundle_has_the_units_of_this_tree(tmp_path: Path, wheels: Path) -> None:
    files = contents(built(tmp_path, wheels))

    units = {name.removeprefix("units/"): text for name, text in files.items() if name.startswith("units/")}

    here = HOUSE / "systemd"
    assert units == {
        str(path.relative_to(here)): path.read_bytes() for path in here.rglob("*.*") if path.is_file()
    }


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


@pytest.mark.parametrize(
    ("words", "architecture", "sentence"),
    [
        ([], "aarch64", "install the Debian package g++-aarch64-linux-gnu"),
        ([], "armv7l", "ARCH can be aarch64"),
        (["--native-llama"], "aarch64", "leave it out, or ARCH"),
    ],
)
def test_wheels_for_another_machine_are_refused_with_what_to_do(
    tmp_path: Path, words: list[str], architecture: str, sentence: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("dirname", "sed"):
        (programs / name).symlink_to(shutil.which(name) or "")
    (programs / "uname").write_text("#!/bin/sh\necho x86_64\n")
    (programs / "uname").chmod(0o755)
    environment = {"PATH": str(programs), "PYTHON": sys.executable, "LLAMA_FLAGS": "-", "ARCH": architecture}
    command = ["/bin/sh", str(SCRIPTS / "build-wheelhouse"), str(tmp_path / "wheels"), *words]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert sentence in done.stderr
    assert not (tmp_path / "wheels").exists()


def test_what_is_placed_has_its_content_on_the_disk_before_its_name(tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text("device_id = 'box-1'")
    trace = tmp_path / "trace"
    watch = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2", "-o", str(trace)]
    place = installing(tmp_path, f"remember; place {tmp_path}/new.toml {tmp_path}/promptd.toml")

    subprocess.run([*watch, *place], check=True)

    calls = [
        line.split()[1].partition("(")[0] for line in trace.read_text().splitlines() if "toml.new" in line
    ]
    assert [call.rstrip("at2") for call in calls] == ["fsync", "rename"]


GOES_WRONG = "start() { false; }"
COMES_UP = "start() { true; }"
ONLY_SECOND = 'start() { [ "$(release_of current)" = second ]; }'
ONE_LINK = 'point() { unsettle; [ "$1" = previous ] || exit 0; ln -sfn "releases/$2" "$PLACE/$1"; }'
CUTS = ["unsettle() { exit 0; }", "place_units() { unsettle; exit 0; }", ONE_LINK, "start() { exit 0; }"]
"""Where the power goes: before anything, before the links, between them, and after them."""
UPGRADE = "remember; change_to third"
ROLLBACK = "verb=rollback; roll_back"


def done(place: Path, *words: str) -> str:
    """Do this as `installing`, and return what was said of faults."""
    command = installing(place, "; ".join(words))
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


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
        (["fleet"], "uninstall", "fleet"),
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


def test_what_cloud_init_runs_on_a_new_box_is_sound_shell(tmp_path: Path) -> None:
    data = yaml.safe_load((SCRIPTS / "cloud-init/user-data.yaml").read_text())
    files = {file["path"]: file["content"] for file in data["write_files"]}
    script = tmp_path / "script"
    script.write_text(files[data["runcmd"][0][0]])

    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)

    assert done.stdout == ""


@pytest.mark.parametrize(
    "file", sorted(ROLE.rglob("*.yml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_a_file_of_the_role_is_yaml(file: Path) -> None:
    assert yaml.safe_load(file.read_text())


def test_the_sample_inventory_sets_only_what_the_role_knows() -> None:
    known = {*yaml.safe_load((ROLE / "defaults/main.yml").read_text())}
    inventory = yaml.safe_load((HOUSE / "provisioning/ansible/inventory.yml").read_text())

    hosts = [host for group in inventory["all"]["children"].values() for host in group["hosts"].values()]

    assert {name for host in hosts for name in host if name.startswith("promptd_")} <= known
