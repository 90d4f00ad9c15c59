"""How tests let a worker use the deadly engine in place of echo."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.engines.table import BY_NAME

TESTS = Path(__file__).parents[1]


def make_echo_deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every worker that is asked for `echo` open the engine of `worker/deadly.py`."""
    deadly = replace(BY_NAME["echo"], module="worker.deadly")
    monkeypatch.setattr("agent.worker.start.BY_NAME", {**BY_NAME, "echo": deadly})
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
