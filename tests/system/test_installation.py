"""`install.sh` on boxes that reach nothing but their broker: again, forward, back, and away."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rig.box import Ticket
from rig.requester import Requester

from system.boxes import Boxes
from system.bundle import PLACE, Bundle
from system.device import Device
from system.machine import Machine
from system.service import Service

MANY, LONG = 60, 400
SETTLED_S = 60.0

DEAD_UNIT = "[Service]\nExecStart=/bin/false\n"
CUT_OFF = f"""
setsid {PLACE}/install.sh install &
while [ ! -e /opt/promptd/current ]; do sleep 0.05; done
kill -9 -$!
"""
"""An installation that dies as soon as the link names its release."""
HALF_GONE = f"""
setsid {PLACE}/install.sh uninstall &
while [ -e /usr/local/lib/systemd/system/promptd.service ]; do sleep 0.02; done
kill -9 -$!
"""
"""An uninstallation that dies as soon as the unit is gone."""
ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")
OF_EVERY_BOX = ("/var/log/journal", "/var/tmp", "/root/bundle")  # noqa: S108 -- looked at, not used
"""What lies on a box whether or not promptd was there, and differs between boxes."""


@dataclass(frozen=True)
class Upgrade:
    """What was seen while a box changed its release."""

    machine: Machine
    device: Device
    tickets: list[Ticket]
    unanswered: int
    """Prompts that waited when it began."""
    status: dict[str, str]


def status(machine: Machine) -> dict[str, str]:
    """Return what `install.sh status` says of an installed box."""
    lines = machine.run("/opt/promptd/current/install.sh", "status").splitlines()
    return dict(line.split(": ", 1) for line in lines)


def files(machine: Machine) -> set[str]:
    """Return every path on the disk of a box."""
    walked = machine.run("find", "/", "-xdev", timeout_s=120).splitlines()
    return {path for path in walked if not path.startswith(OF_EVERY_BOX)}


@pytest.fixture(scope="module")
def upgraded(boxes: Boxes, installed: Path, next_bundle: Bundle, requester: Requester) -> Iterator[Upgrade]:
    """Return a box that got another release while it had prompts to answer."""
    with boxes.for_a_while():
        machine = boxes.boot("upgraded", installed)
        device = Device(machine.name, requester)
        next_bundle.unpack(machine)
        device.wait_for_state("ready")
        tickets = [device.send(f"story {number}", max_tokens=LONG, progress=True) for number in range(MANY)]
        device.accepted(tickets[-1])
        Service(machine, "promptd-engine").freeze_child()
        unanswered = sum(not device.answers(ticket) for ticket in tickets)
        next_bundle.do(machine, "upgrade")
        yield Upgrade(machine, device, tickets, unanswered, status(machine))


def test_a_second_installation_changes_nothing_and_interrupts_nobody(
    boxes: Boxes, installed: Path, bundle: Bundle
) -> None:
    machine = boxes.boot("twice", installed)
    agent, engine = Service(machine, "promptd"), Service(machine, "promptd-engine")
    bundle.unpack(machine)
    before = agent.main_pid, engine.main_pid

    said = bundle.do(machine, "install")

    assert "installed already" in said
    assert (agent.main_pid, engine.main_pid) == before


def test_an_installation_that_is_cut_off_is_finished_by_the_next(boxes: Boxes, bundle: Bundle) -> None:
    machine = boxes.boot("cut-off")
    bundle.unpack(machine)
    machine.run("sh", "-c", CUT_OFF, timeout_s=SETTLED_S * 5)

    bundle.do(machine, "install")

    assert machine.run("systemctl", "is-enabled", "promptd").strip() == "enabled"
    assert "unfinished" not in status(machine)
    assert status(machine)["promptd.service"] == "active"


def test_an_installation_after_an_uninstallation_that_was_cut_off_is_a_first_one(
    boxes: Boxes, installed: Path, bundle: Bundle
) -> None:
    machine = boxes.boot("half-gone", installed)
    bundle.unpack(machine)
    machine.run("sh", "-c", HALF_GONE, timeout_s=SETTLED_S)

    bundle.do(machine, "install")

    assert machine.run("systemctl", "is-enabled", "promptd").strip() == "enabled"
    assert status(machine)["promptd.service"] == "active"


def test_settings_with_a_mistake_are_told_and_touch_nothing_that_runs(
    boxes: Boxes, installed: Path, bundle: Bundle
) -> None:
    machine = boxes.boot("mistaken", installed)
    bundle.unpack(machine)
    machine.write(f"{PLACE}/promptd.toml", "[engine]\nmodl = 'demo'\n")
    before = Service(machine, "promptd").main_pid

    done = machine.try_to_run(f"{PLACE}/install.sh", "install", "--settings", f"{PLACE}/promptd.toml")

    assert (done.returncode, "unknown setting engine.modl" in done.stderr) == (1, True)
    assert Service(machine, "promptd").main_pid == before


def test_settings_with_which_nothing_comes_up_are_taken_back(
    boxes: Boxes, installed: Path, bundle: Bundle
) -> None:
    machine = boxes.boot("astray", installed)
    bundle.unpack(machine)
    own = machine.run("cat", "/etc/promptd/promptd.toml")
    lost = "[broker]\nurl = 'mqtts://broker.lan'\nca_file = '/nonexistent.pem'\n"
    machine.write(f"{PLACE}/promptd.toml", lost)

    done = machine.try_to_run(
        f"{PLACE}/install.sh", "install", "--settings", f"{PLACE}/promptd.toml", timeout_s=SETTLED_S * 2
    )

    assert (done.returncode, "runs again" in done.stderr) == (1, True)
    assert machine.run("cat", "/etc/promptd/promptd.toml") == own
    assert status(machine)["promptd.service"] == "active"


def test_an_upgrade_runs_the_new_release_and_keeps_the_one_before(upgraded: Upgrade) -> None:
    units = dict.fromkeys(("promptd.service", "promptd-engine.service", "promptd-engine.socket"), "active")

    assert upgraded.status == {"release": "second", "before": "first", **units}


def test_an_upgrade_amid_prompts_loses_none(upgraded: Upgrade) -> None:
    endings = [upgraded.device.ending(ticket) for ticket in upgraded.tickets]

    assert upgraded.unanswered
    assert endings == ["completed"] * MANY
    assert [upgraded.device.answers(ticket) for ticket in upgraded.tickets] == [1] * MANY


def test_a_rollback_brings_the_release_before_back(upgraded: Upgrade) -> None:
    machine = upgraded.machine
    before = status(machine)

    machine.run("/opt/promptd/current/install.sh", "rollback", timeout_s=SETTLED_S)

    after = status(machine)
    assert (after["release"], after["before"]) == (before["before"], before["release"])
    assert upgraded.device.ending(upgraded.device.send("after the rollback")) == "completed"


def test_a_release_that_does_not_come_up_is_taken_back(
    boxes: Boxes, installed: Path, next_bundle: Bundle, requester: Requester
) -> None:
    machine = boxes.boot("broken", installed)
    next_bundle.unpack(machine)
    machine.write(f"{PLACE}/units/promptd.service", DEAD_UNIT)
    seal(machine.path(PLACE))

    done = machine.try_to_run(f"{PLACE}/install.sh", "upgrade", timeout_s=300)

    assert (done.returncode, "release first runs again" in done.stderr) == (1, True)
    assert (status(machine)["release"], status(machine)["promptd.service"]) == ("first", "active")
    device = Device(machine.name, requester)
    assert device.ending(device.send("after the failure")) == "completed"


def test_a_damaged_bundle_is_refused_before_anything_is_done(
    boxes: Boxes, installed: Path, next_bundle: Bundle
) -> None:
    machine = boxes.boot("damaged", installed)
    next_bundle.unpack(machine)
    machine.write(f"{PLACE}/units/promptd.service", DEAD_UNIT)

    done = machine.try_to_run(f"{PLACE}/install.sh", "upgrade")

    assert (done.returncode, "the bundle is damaged" in done.stderr) == (1, True)
    assert status(machine)["release"] == "first"


def test_an_uninstallation_keeps_settings_and_state(boxes: Boxes, installed: Path) -> None:
    machine = boxes.boot("left", installed)

    machine.run("/opt/promptd/current/install.sh", "uninstall")

    kept = [
        machine.path(path).exists() for path in ("/etc/promptd/promptd.toml", "/var/lib/promptd/ledger.db")
    ]
    assert kept == [True, True]
    assert not machine.path("/opt/promptd").exists()
    assert Service(machine, "promptd").show("LoadState") == "not-found"


def test_a_purge_leaves_nothing(boxes: Boxes, installed: Path) -> None:
    bare, machine = boxes.boot("bare"), boxes.boot("purged", installed)

    machine.run("/opt/promptd/current/install.sh", "uninstall", "--purge")

    assert files(machine) - files(bare) == set()
    assert [machine.run("cat", path) for path in ACCOUNTS] == [bare.run("cat", path) for path in ACCOUNTS]
    assert machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "promptd*") == ""
    assert machine.run("sh", "-c", "cat /proc/[0-9]*/comm").count("promptd") == 0


def test_a_purge_leaves_nothing_of_the_provisioning_service(boxes: Boxes, bundle: Bundle) -> None:
    bare, machine = boxes.boot("bare-too"), boxes.boot("office-purged")
    bundle.unpack(machine)
    bundle.do(machine, "install", "--fleet")

    machine.run("/opt/promptd/current/install.sh", "uninstall", "--purge")

    assert files(machine) - files(bare) == set()
    assert [machine.run("cat", path) for path in ACCOUNTS] == [bare.run("cat", path) for path in ACCOUNTS]


def test_a_purge_after_an_uninstallation_removes_the_provisioning_service_that_was_there(
    boxes: Boxes, bundle: Bundle
) -> None:
    machine = boxes.boot("office-left")
    bundle.unpack(machine)
    bundle.do(machine, "install", "--fleet")
    bundle.do(machine, "uninstall")

    refused = machine.try_to_run(f"{PLACE}/install.sh", "uninstall", "--purge")
    bundle.do(machine, "uninstall", "--purge", "--fleet")

    assert (refused.returncode, "say --fleet if that is meant" in refused.stderr) == (1, True)
    assert not machine.path("/var/lib/promptd-fleet").exists()
    assert "promptd-fleet" not in machine.run("cat", "/etc/passwd")


def test_a_machine_with_the_debian_package_is_brought_on_by_apt(boxes: Boxes, bundle: Bundle) -> None:
    machine = boxes.boot("packaged")
    bundle.unpack(machine)
    machine.write("/lib/systemd/system/promptd.service", DEAD_UNIT)

    done = machine.try_to_run(f"{PLACE}/install.sh", "install")

    assert (done.returncode, "bring it on with apt" in done.stderr) == (1, True)
    assert not machine.path("/opt/promptd").exists()


def test_a_machine_is_a_box_or_the_operators_and_not_both(
    boxes: Boxes, installed: Path, bundle: Bundle
) -> None:
    machine = boxes.boot("both", installed)
    bundle.unpack(machine)

    done = machine.try_to_run(f"{PLACE}/install.sh", "install", "--fleet")

    assert (done.returncode, "promptd itself runs on this machine" in done.stderr) == (1, True)


def seal(bundle: Path) -> None:
    """Make a changed bundle whole again."""
    named = [line.split("  ", 1)[1] for line in (bundle / "SHA256SUMS").read_text().splitlines()]
    sums = [f"{hashlib.sha256((bundle / name).read_bytes()).hexdigest()}  {name}\n" for name in named]
    (bundle / "SHA256SUMS").write_text("".join(sums))
