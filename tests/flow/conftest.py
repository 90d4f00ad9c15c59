from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.flow.ledger import Capacity, Ledger
from flow.stage import Stage


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.db", Capacity(5, 1 << 20))
    yield ledger
    ledger.close()


@pytest.fixture
def stage(ledger: Ledger) -> Iterator[Stage]:
    stage = Stage(ledger)
    yield stage
    stage.stop()
    assert stage.deaths == []
