from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.flow.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.db", capacity=5)
    yield ledger
    ledger.close()
