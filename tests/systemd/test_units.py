"""The units as systemd itself judges them, and as the code expects them."""

import configparser
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.app import STOP_BUDGET_S
from agent.hardware.budget import CPU_RESERVE_SHARE
from agent.host.board_serial import SOURCES
from agent.identity.claim import CERTIFICATE, KEY, TOKEN
from agent.wire.errors import ConfigError

UNITS = Path(__file__).parent.parent.parent / "systemd"


def section(file: str, name: str) -> dict[str, str]:
    """Return a section of a unit; of a repeated key the last value."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read(UNITS / file)
    return dict(parser[name])


@pytest.fixture
def placed(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return what copies the units, with the drop-ins of one device, and names the copies."""

    def place(device: str) -> list[str]:
        for source in UNITS.glob("promptd*.*"):
            if source.is_file():
                unit = tmp_path / source.name
                unit.write_text(re.sub(r"/opt/promptd/current/bin/\S+", "/bin/true", source.read_text()))
        for source in UNITS.glob(f"*.d/{device}.conf"):
            (tmp_path / source.parent.name).mkdir()
            shutil.copy(source, tmp_path / source.parent.name)
        return sorted(map(str, [*tmp_path.glob("*.service"), *tmp_path.glob("*.socket")]))

    return place


@pytest.mark.parametrize(
    ("name", "device", "tenths"),
    [
        ("promptd", "none", 11),
        ("promptd", "nvidia", 12),
        ("promptd", "jetson", 13),
        ("promptd-engine", "none", 2),
        ("promptd-engine", "nvidia", 7),
        ("promptd-engine", "jetson", 7),
    ],
)
def test_a_unit_is_no_more_exposed_than_promised(
    placed: Callable[[str], list[str]], name: str, device: str, tenths: int
) -> None:
    (unit,) = [file for file in placed(device) if file.endswith(f"/{name}.service")]
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={tenths}", unit]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("device", ["none", "nvidia", "jetson"])
def test_systemd_finds_nothing_wrong_with_the_units(placed: Callable[[str], list[str]], device: str) -> None:
    units = placed(device)

    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)

    assert [line for line in done.stderr.splitlines() if "promptd" in line] == []


def test_systemd_waits_longer_than_the_agent_needs_to_stop() -> None:
    unit = section("promptd.service", "Service")

    allowed_s = float(unit["TimeoutStopSec"])

    assert allowed_s > STOP_BUDGET_S


def test_systemd_does_not_restart_what_a_person_must_mend() -> None:
    unit = section("promptd.service", "Service")

    prevented = int(unit["RestartPreventExitStatus"])

    assert prevented == ConfigError.exit_code


def test_the_agent_looks_for_the_engine_where_systemd_listens_for_it() -> None:
    agent, listening = section("promptd.service", "Service"), section("promptd-engine.socket", "Socket")

    path = agent["Environment"].rpartition("=")[2]

    assert listening["ListenStream"] == path


def test_the_engine_may_take_what_the_agent_plans_with_and_no_more() -> None:
    engine = section("promptd-engine.service", "Service")

    share = int(engine["MemoryMax"].removesuffix("%")) / 100

    assert share == 1 - CPU_RESERVE_SHARE


@pytest.mark.parametrize(
    ("file", "name", "key"),
    [
        ("promptd.service", "Service", "User"),
        ("promptd-engine.service", "Service", "User"),
        ("promptd-engine.socket", "Socket", "SocketUser"),
    ],
)
def test_the_users_of_the_units_are_made_at_the_installation(file: str, name: str, key: str) -> None:
    made = [line.split()[1] for line in (UNITS / "promptd.sysusers").read_text().splitlines()]

    user = section(file, name)[key]

    assert user in made


def test_agent_and_engine_are_different_users() -> None:
    agent, engine = section("promptd.service", "Service"), section("promptd-engine.service", "Service")

    users = {agent["User"], engine["User"]}

    assert len(users) == 2


def test_a_folder_that_systemd_takes_credentials_from_is_always_there() -> None:
    lines = (UNITS / "promptd.tmpfiles").read_text().splitlines()
    made = [line.split()[1] for line in lines if line.startswith("d ")]

    folder = section("promptd.service", "Service")["LoadCredential"].partition(":")[2]

    assert folder in made


def test_the_agent_may_read_every_serial_that_root_may_read() -> None:
    lines = (UNITS / "promptd.tmpfiles").read_text().splitlines()
    user = section("promptd.service", "Service")["Group"]

    opened = [
        line.split()[1] for line in lines if line.startswith("z- ") and line.endswith(f" 0440 root {user}")
    ]

    assert opened == [f"/{source}" for source in SOURCES if "/dmi/" in source]


def test_a_box_without_such_serials_is_installed_all_the_same(tmp_path: Path) -> None:
    lines = (UNITS / "promptd.tmpfiles").read_text().splitlines()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("promptd:x:997:\n")
    rules = tmp_path / "serials.conf"
    rules.write_text("\n".join(line for line in lines if "/sys/" in line))

    done = subprocess.run(
        ["systemd-tmpfiles", "--create", f"--root={tmp_path}", rules],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_engine_has_no_network() -> None:
    unit = section("promptd-engine.service", "Service")

    network = unit["PrivateNetwork"], unit["RestrictAddressFamilies"]

    assert network == ("yes", "AF_UNIX")


def test_a_claim_comes_under_the_names_that_the_agent_looks_for() -> None:
    name, _, folder = section("promptd.service", "Service")["LoadCredential"].partition(":")

    given = [f"{name}_{file}" for file in ("claim.pem", "claim.key", "token")]

    assert (given, folder) == ([CERTIFICATE, KEY, TOKEN], "/etc/promptd/credentials")


@pytest.mark.parametrize("file", ["promptd.service", "promptd-engine.service", "promptd-engine.socket"])
def test_no_unit_is_given_up_for_being_started_often(file: str) -> None:
    unit = section(file, "Unit")

    assert unit["StartLimitIntervalSec"] == "0"
