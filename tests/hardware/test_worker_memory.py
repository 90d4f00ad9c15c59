"""The plan against real workers: what the system says they hold is what was computed before they started."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from agent.engines.options import EngineOptions
from agent.engines.table import BY_NAME
from agent.hardware.plan import Way, kv_bytes, needed_bytes
from agent.models.store import Store
from agent.wire.replies import EngineBadge
from agent.worker.process import Worker, spawn
from agent.worker.start import Candidate, start

DEMO = Store(Path("none")).resolve("demo")
SMALL, LARGE = Way(context_length=2048, slots=1, cache_tokens=0), Way(2048, slots=8, cache_tokens=8192)
MARGIN = 0.1
"""Buffers for a step grow a little with the context, and the system counts in pages."""

LARGE_AT_LOAD = {"gguf-cpu": replace(LARGE, cache_tokens=0), "onnx-cpu-int4": LARGE}
"""What a worker takes before its first prompt: llama.cpp's prefix cache grows with what is kept in it."""

RssBytes = Callable[[str, Way], int]


@pytest.fixture
def rss_bytes() -> Iterator[RssBytes]:
    """Return a function that starts a real worker and tells how much memory it holds after a first answer."""
    workers: list[Worker] = []

    def open_worker() -> Worker:
        workers.append(spawn())
        return workers[-1]

    def measure(variant: str, way: Way) -> int:
        options = EngineOptions(
            variant,
            DEMO.path_for(variant),
            threads=1,
            slots=way.slots,
            context_length=way.context_length,
            cache_tokens=way.cache_tokens,
        )
        start(Candidate(options, EngineBadge(variant, "demo", "")), open_worker)
        child = workers[-1]._child
        assert child is not None
        return int(psutil.Process(child.pid).memory_info().rss)

    yield measure
    for worker in workers:
        worker.kill()
        worker.bury()


@pytest.mark.parametrize(("variant", "large"), LARGE_AT_LOAD.items(), ids=LARGE_AT_LOAD)
def test_what_is_opened_at_load_takes_the_bytes_that_were_computed(
    variant: str, large: Way, rss_bytes: RssBytes
) -> None:
    row = BY_NAME[variant]
    computed_bytes = kv_bytes(row, DEMO, large) - kv_bytes(row, DEMO, SMALL)

    more_bytes = rss_bytes(variant, large) - rss_bytes(variant, SMALL)

    assert more_bytes == pytest.approx(computed_bytes, rel=MARGIN)


@pytest.mark.parametrize("way", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("variant", ["gguf-cpu", "onnx-cpu-int4"])
def test_a_worker_holds_no_more_than_was_planned(variant: str, way: Way, rss_bytes: RssBytes) -> None:
    planned_bytes = needed_bytes(BY_NAME[variant], DEMO, way)

    held_bytes = rss_bytes(variant, way)

    assert held_bytes <= planned_bytes
