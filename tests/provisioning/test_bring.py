"""What is brought to the broker, and what must not be: the files of a copy that time has gone by."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest
from rig.plant import Plant

from agent.host.lock import hold
from provisioning.broker.bring import bring_to_broker, refuse_an_old_copy
from provisioning.fleet import open_fleet
from provisioning.reach import ReachError


@pytest.fixture
def plant(tmp_path: Path, stack: ExitStack) -> Plant:
    (tmp_path / "fleet-of-today").mkdir()
    return Plant(tmp_path / "fleet-of-today", stack)


def test_an_old_copy_of_a_fleet_does_not_take_back_what_the_newer_one_has_brought(
    plant: Plant, tmp_path: Path
) -> None:
    bring_to_broker(plant.fleet)
    old = shutil.copytree(plant.folder, tmp_path / "old")
    bring_to_broker(plant.fleet)
    plant.change(devices={"box-1": "S1"})
    bring_to_broker(plant.fleet)

    with open_fleet(old / "fleet.yaml") as fleet, pytest.raises(ReachError, match="another copy"):
        bring_to_broker(fleet)

    assert "user box-1" in plant.rules()


class FreeingEar:
    """Hears what is said while somebody waits, and lets go of the lock then."""

    def __init__(self, lock: IO[str]) -> None:
        self._lock, self.heard = lock, ""

    def write(self, text: str) -> None:
        self.heard += text
        self._lock.close()


def test_whoever_waits_for_another_to_write_for_the_broker_is_told(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = FreeingEar(hold(plant.places.broker_lock))
    monkeypatch.setattr("sys.stderr", ear)

    bring_to_broker(plant.fleet)

    assert "waiting for another promptd-fleet" in ear.heard


def test_a_fleet_whose_broker_lost_its_files_brings_them_anew(plant: Plant) -> None:
    bring_to_broker(plant.fleet)
    before = plant.rules()
    shutil.rmtree(plant.folder / "at-broker")

    bring_to_broker(plant.fleet)

    assert plant.rules() == before


def test_an_old_copy_of_a_fleet_is_known_before_it_signs_anything(plant: Plant, tmp_path: Path) -> None:
    bring_to_broker(plant.fleet)
    old = shutil.copytree(plant.folder, tmp_path / "old")
    bring_to_broker(plant.fleet)

    refuse_an_old_copy(plant.fleet)
    with open_fleet(old / "fleet.yaml") as fleet, pytest.raises(ReachError, match="another copy"):
        refuse_an_old_copy(fleet)


def test_a_number_that_is_none_is_written_anew(plant: Plant) -> None:
    bring_to_broker(plant.fleet)
    number = plant.folder / "at-broker/generation"
    number.write_text("garbage\n")

    bring_to_broker(plant.fleet)

    assert number.read_text() == "2"


def test_a_broker_whose_disk_is_full_keeps_the_files_that_it_has(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_to_broker(plant.fleet)
    at_broker = plant.folder / "at-broker"
    before = {path.name: path.read_bytes() for path in at_broker.iterdir()}
    (tmp_path / "tar").write_text(f'#!/bin/sh\nulimit -f 1\nexec {shutil.which("tar")} "$@"\n')
    (tmp_path / "tar").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    plant.change(devices={"box-1": "S1"})

    with pytest.raises(ReachError, match="is its disk full"):
        bring_to_broker(plant.fleet)

    assert {path.name: path.read_bytes() for path in at_broker.iterdir()} == before
