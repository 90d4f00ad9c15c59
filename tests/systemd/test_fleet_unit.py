"""The unit of the provisioning service, as systemd judges it and as the code expects it."""

import re
import subprocess
from pathlib import Path

from agent.wire.errors import ConfigError
from provisioning.authority.passphrase import CREDENTIAL
from provisioning.enrolment.serve import JUDGING_LIMIT_S

UNITS = Path(__file__).parent.parent.parent / "systemd"
UNIT = UNITS / "promptd-fleet.service"


def words_of(key: str) -> str:
    """Return the value of a key in the unit."""
    (value,) = re.findall(rf"^{key}=(.*)$", UNIT.read_text(), flags=re.MULTILINE)
    return str(value)


def test_the_service_that_holds_the_issuing_key_is_hardly_exposed() -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=11", str(UNIT)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-300:]


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"/opt/promptd/current/bin/\S+", "/bin/true", UNIT.read_text()))

    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)

    assert [line for line in done.stderr.splitlines() if "promptd" in line] == []


def test_the_passphrase_comes_under_the_name_that_the_code_looks_for() -> None:
    credential = words_of("LoadCredential")

    assert credential.split(":")[0] == CREDENTIAL


def test_a_fleet_without_a_passphrase_can_start_the_service() -> None:
    credential = words_of("LoadCredential")

    assert ":" not in credential  # a file that is named must be there, one of /etc/credstore need not


def test_systemd_waits_longer_than_an_authority_may_take() -> None:
    allowed_s = float(words_of("WatchdogSec"))

    assert allowed_s > JUDGING_LIMIT_S


def test_a_mistake_in_the_inventory_is_not_answered_with_restarts() -> None:
    prevented = int(words_of("RestartPreventExitStatus"))

    assert prevented == ConfigError.exit_code


def test_the_user_of_the_unit_is_made() -> None:
    (name,) = re.findall(r"^u (\S+)", (UNITS / "promptd-fleet.sysusers").read_text(), flags=re.MULTILINE)

    assert name == words_of("User")
