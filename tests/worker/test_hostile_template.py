"""A template that never comes to an end costs its worker the life, and the agent some patience."""

import time
from pathlib import Path

import pytest
from engines.gguf_copies import TEMPLATE, copy_gguf

from agent.wire.errors import EngineError
from agent.worker import start as starting
from worker.conftest import StartWorker
from worker.watching import candidate, demo_weights

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
PATIENCE_S = 2.0


def test_a_template_with_an_endless_loop_ends_with_the_clock_of_the_proof(
    start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "PROOF_TIMEOUT_S", PATIENCE_S)
    source = demo_weights("gguf-cpu")
    assert source is not None
    endless = copy_gguf(source, tmp_path / "endless.gguf", {TEMPLATE: ENDLESS})

    started_s = time.monotonic()
    with pytest.raises(EngineError):
        start_worker(candidate("gguf-cpu", endless))

    assert PATIENCE_S <= time.monotonic() - started_s < 30


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__ }}", "{{ range(10 ** 9) | list }}", "{{ raise_exception('no') }}"],
)
def test_a_template_that_is_refused_is_an_engine_error(
    template: str, start_worker: StartWorker, tmp_path: Path
) -> None:
    source = demo_weights("gguf-cpu")
    assert source is not None
    hostile = copy_gguf(source, tmp_path / "hostile.gguf", {TEMPLATE: template})

    with pytest.raises(EngineError, match="chat template refuses"):
        start_worker(candidate("gguf-cpu", hostile))
