from collections.abc import Iterator

import pytest
from rig.box import Box, box_in
from rig.mosquitto import mosquitto_in
from rig.requester import requester_on


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Return a started device with the echo engine; tests of one file share it and leave it as it was."""
    folder = tmp_path_factory.mktemp("box")
    with (
        mosquitto_in(folder) as broker,
        requester_on(broker.port) as requester,
        box_in(folder, broker.url, requester) as box,
    ):
        yield box
