"""The units as systemd itself judges them, and as the code expects them."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from agent.app import STOP_BUDGET_S
from agent.wire.errors import ConfigError

UNITS = Path(__file__).parent.parent.parent / "systemd"


def service(name: str) -> dict[str, str]:
    """Return the [Service] section; of a repeated key the last value."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read(UNITS / f"{name}.service")
    return dict(parser["Service"])


@pytest.mark.parametrize(("name", "tenths"), [("promptd", 11), ("promptd-engine", 3)])
def test_a_unit_is_no_more_exposed_than_promised(name: str, tenths: int) -> None:
    command = [
        "systemd-analyze",
        "security",
        "--offline=yes",
        f"--threshold={tenths}",
        str(UNITS / f"{name}.service"),
    ]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-300:]


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    units = []
    for source in UNITS.glob("*.service"):
        unit = tmp_path / source.name
        unit.write_text(re.sub(r"/opt/promptd/current/bin/\S+", "/bin/true", source.read_text()))
        units.append(unit)

    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, units)], capture_output=True, text=True, check=False
    )

    assert [line for line in done.stderr.splitlines() if "promptd" in line] == []


def test_systemd_waits_longer_than_the_agent_needs_to_stop() -> None:
    unit = service("promptd")

    allowed_s = float(unit["TimeoutStopSec"])

    assert allowed_s > STOP_BUDGET_S


def test_systemd_does_not_restart_what_a_person_must_mend() -> None:
    unit = service("promptd")

    prevented = int(unit["RestartPreventExitStatus"])

    assert prevented == ConfigError.exit_code


def test_agent_and_engine_meet_at_the_same_socket() -> None:
    agent, engine = service("promptd"), service("promptd-engine")

    path = agent["Environment"].rpartition("=")[2]

    assert engine["ExecStart"].endswith(f"--listen {path}")


def test_the_engine_has_no_network() -> None:
    unit = service("promptd-engine")

    network = unit["PrivateNetwork"], unit["RestrictAddressFamilies"]

    assert network == ("yes", "AF_UNIX")
