"""The service in front of an authority that is somebody else's: boxes do not notice, and no key is here."""

from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from rig.est import PASSWORD, Est
from rig.newcomer import Newcomer
from rig.plant import Plant


@pytest.fixture
def plant(tmp_path: Path, stack: ExitStack) -> Plant:
    plant = Plant(tmp_path, stack)
    plant.start_broker()
    return plant


def test_an_authority_that_takes_the_name_from_the_request_gets_it_there(plant: Plant) -> None:
    plant.change(authority=plant.signing_program('[ "$1" = box-S17 ] || exit 1'))
    plant.start_service()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)

    pair = box.enrol()

    assert pair.name == "box-S17"
    assert ["the box is box-S17" in each.reason for each in box.verdicts if not each.passed] == [True]


def test_a_box_gets_its_certificate_from_an_est_server_by_way_of_the_service(
    plant: Plant, stack: ExitStack
) -> None:
    server = stack.enter_context(closing(Est(plant.places.authority, plant.signer)))
    (plant.places.authority / "password").write_text(PASSWORD)
    login = "username: fleet, password_file: password"
    plant.change(authority=f"kind: est, url: '{server.url}', ca_file: root.pem, {login}")
    plant.start_service()

    pair = Newcomer(plant, "S1", plant.tokens(1)[0]).enrol()

    assert (pair.name, pair.is_sound) == ("box-S1", True)
    assert server.signed == ["box-S1"]
