"""The registry: one row for each device, certificate and token, however many ask at once."""

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.wire.errors import ConfigError
from provisioning.broker.acl import rights_of
from provisioning.inventory import FleetBroker, Inventory
from provisioning.registry import Registry, RegistryAwayError, RegistryError
from provisioning.registry_rows import INVENTORY, Certificate, Device
from provisioning.roles import Role

BOX = Device("box-1", "A1", "presses", INVENTORY, 1.0)
CERTIFICATE = Certificate("0a", "box-1", Role.DEVICE, 0.0, 100.0, "key", "PEM", 1.0)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry(tmp_path / "fleet" / "registry.db") as registry:
        yield registry


def test_what_was_noted_is_there_after_a_new_start(tmp_path: Path) -> None:
    with Registry(tmp_path / "registry.db") as first:
        first.add_device(BOX)
        first.add_certificate(CERTIFICATE)

    with Registry(tmp_path / "registry.db") as second:
        devices, certificates = second.devices(), second.certificates("box-1")

    assert (devices, certificates) == ((BOX,), (CERTIFICATE,))


def test_a_registry_that_somebody_holds_is_a_fault_that_may_pass(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioning.registry.PRAGMAS", ("busy_timeout=1",))
    other = Registry(tmp_path / "fleet" / "registry.db")

    with registry.changing(), pytest.raises(RegistryAwayError, match="end the other program") as fault:
        other.add_device(BOX)

    assert fault.value.exit_code == 1


def test_a_registry_on_a_full_disk_is_a_fault_that_may_pass(registry: Registry) -> None:
    (pages,) = registry._db.execute("PRAGMA page_count").fetchone()
    registry._db.execute(f"PRAGMA max_page_count={pages}")

    with pytest.raises(RegistryAwayError, match="make room on the disk"):
        registry.mark("box-1", "install", "x" * 100_000)

    assert registry.marks() == {}


def test_a_registry_whose_rows_are_damaged_is_for_a_person(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    with Registry(file) as registry:
        registry.add_device(BOX)
        (page,) = registry._db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'device'").fetchone()
        (page_bytes,) = registry._db.execute("PRAGMA page_size").fetchone()
        registry._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file.open("r+b") as content:
        content.seek((page - 1) * page_bytes)
        content.write(b"\xff" * page_bytes)

    with Registry(file) as registry, pytest.raises(ConfigError, match="bring a backup back"):
        registry.devices()


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    Registry(tmp_path / "fleet" / "registry.db").close()

    assert (tmp_path / "fleet" / "registry.db").stat().st_mode & 0o077 == 0


def test_a_serial_belongs_to_one_device(registry: Registry) -> None:
    registry.add_device(BOX)

    with pytest.raises(RegistryError, match="belongs to box-1"):
        registry.add_device(replace(BOX, name="box-2"))

    assert [device.name for device in registry.devices()] == ["box-1"]


def test_a_name_belongs_to_one_serial(registry: Registry) -> None:
    registry.add_device(BOX)

    with pytest.raises(RegistryError, match="is the box with serial 'A1'"):
        registry.add_device(replace(BOX, serial="A2"))

    assert registry.device_by_serial("A2") is None


def test_the_serial_of_a_removed_device_is_free_again(registry: Registry) -> None:
    registry.add_device(BOX)
    registry.remove_device("box-1")

    registry.add_device(replace(BOX, name="box-2"))

    assert [device.name for device in registry.devices()] == ["box-2"]


def test_devices_without_a_serial_do_not_clash(registry: Registry) -> None:
    for name in ("box-1", "box-2"):
        registry.add_device(replace(BOX, name=name, serial=""))

    assert registry.device_by_serial("") is None
    assert len(registry.devices()) == 2


def test_the_good_certificate_is_the_one_that_lasts_longest(registry: Registry) -> None:
    for number, end_s in (("01", 50.0), ("02", 200.0), ("03", 100.0)):
        registry.add_certificate(replace(CERTIFICATE, number=number, not_after_s=end_s))

    good = registry.good_certificate("box-1", now_s=60.0)

    assert good
    assert good.number == "02"


def test_a_revoked_certificate_is_good_no_more_and_stays_revoked(registry: Registry) -> None:
    registry.add_certificate(CERTIFICATE)

    first = registry.revoke("box-1", "stolen", now_s=10.0)
    second = registry.revoke("box-1", "again", now_s=20.0)

    assert [(each.number, each.revoked_s, each.reason) for each in first] == [("0a", 10.0, "stolen")]
    assert second == ()
    assert registry.revoked() == first
    assert registry.good_certificate("box-1", now_s=20.0) is None


def test_a_certificate_that_is_over_is_revoked_too_for_it_still_proves_who_somebody_was(
    registry: Registry,
) -> None:
    registry.add_certificate(CERTIFICATE)

    revoked = registry.revoke("box-1", "stolen", now_s=CERTIFICATE.not_after_s + 1)

    assert [each.number for each in revoked] == [CERTIFICATE.number]


def test_certificates_come_in_the_order_in_which_they_were_noted_whatever_the_clock_said(
    registry: Registry,
) -> None:
    registry.add_certificate(replace(CERTIFICATE, number="0a", issued_s=1e9))
    registry.add_certificate(replace(CERTIFICATE, number="0b", issued_s=1.0))

    certificates = registry.certificates("box-1")

    assert [each.number for each in certificates] == ["0a", "0b"]


def test_a_client_that_left_the_inventory_is_shut_out_and_does_not_become_a_device(
    registry: Registry,
) -> None:
    broker = FleetBroker(url="mqtts://broker.example")
    registry.add_certificate(replace(CERTIFICATE, holder="dashboard", party=Role.CLIENT))

    rights = rights_of(Inventory(broker=broker), registry)

    assert rights.cut_off == ("dashboard",)


def test_a_serial_number_is_handed_out_once(registry: Registry) -> None:
    registry.add_certificate(CERTIFICATE)

    with pytest.raises(RegistryError, match="twice"):
        registry.add_certificate(CERTIFICATE)

    assert registry.certificate("0A") == CERTIFICATE


def test_a_token_lets_one_box_in_however_many_try_at_once(registry: Registry) -> None:
    registry.add_token("secret", "line-7", expires_s=100.0, now_s=0.0)
    spent: list[bool] = []

    def spend(number: int) -> None:
        spent.append(registry.spend_token("secret", "line-7", f"box-{number}", now_s=1.0))

    tries = [threading.Thread(target=spend, args=(number,)) for number in range(8)]
    for each in tries:
        each.start()
    for each in tries:
        each.join()

    assert sorted(spent) == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("token", "claim", "now_s"),
    [("other", "line-7", 1.0), ("secret", "line-8", 1.0), ("secret", "line-7", 100.0)],
)
def test_a_token_that_is_unknown_of_another_claim_or_over_is_refused(
    registry: Registry, token: str, claim: str, now_s: float
) -> None:
    registry.add_token("secret", "line-7", expires_s=100.0, now_s=0.0)

    assert not registry.spend_token(token, claim, "box-1", now_s)


def test_tokens_are_kept_as_digests_only(registry: Registry, tmp_path: Path) -> None:
    registry.add_token("a-very-secret-token", "line-7", expires_s=100.0)

    written = b"".join(file.read_bytes() for file in (tmp_path / "fleet").iterdir())

    assert b"a-very-secret-token" not in written


def test_a_step_that_failed_leaves_nothing_of_itself(registry: Registry) -> None:
    def fail_half_way() -> None:
        with registry.changing():
            registry.add_device(BOX)
            registry.add_device(replace(BOX, name="box-2"))

    with pytest.raises(RegistryError):
        fail_half_way()

    assert registry.devices() == ()


def test_two_processes_do_not_both_take_the_last_place_of_a_claim(tmp_path: Path) -> None:
    path, limit = tmp_path / "registry.db", 5
    Registry(path).close()

    def enrol(process: int) -> None:
        with Registry(path) as registry:
            for number in range(5):
                with registry.changing():
                    if registry.enrolled("line-7") < limit:
                        name = f"box-{process}-{number}"
                        registry.add_device(Device(name, name, "", "line-7", 1.0))

    tries = [threading.Thread(target=enrol, args=(process,)) for process in range(4)]
    for each in tries:
        each.start()
    for each in tries:
        each.join()

    with Registry(path) as registry:
        assert registry.enrolled("line-7") == limit


def test_a_registry_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    Registry(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version=99")
    newer.close()

    with pytest.raises(ConfigError, match="newer promptd-fleet"):
        Registry(path)


def test_a_file_that_is_no_registry_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"no database" * 100)

    with pytest.raises(ConfigError, match="is damaged"):
        Registry(path)


def test_a_mark_tells_with_what_a_step_was_done_last(registry: Registry) -> None:
    registry.mark("box-1", "bundle", "old")

    registry.mark("box-1", "bundle", "new")

    assert (registry.marked("box-1", "bundle"), registry.marked("box-2", "bundle")) == ("new", "")
