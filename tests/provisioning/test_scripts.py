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
