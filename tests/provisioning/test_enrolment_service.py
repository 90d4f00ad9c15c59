"""The service on a real broker with the generated rules: boxes enrol, and are told why when they do not."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.newcomer import Newcomer
from rig.plant import Plant


@pytest.fixture
def plant(tmp_path: Path, stack: ExitStack) -> Plant:
    return Plant(tmp_path, stack)


def test_a_box_with_a_claim_and_a_token_gets_its_certificate_and_its_settings(plant: Plant) -> None:
    plant.start_service()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)

    pair = box.enrol()

    assert pair.name == "box-S17"
    assert box.settings().device_id == "box-S17"
    assert box.settings().broker.url == plant.url
