"""What the agent costs while nobody asks, and how long it takes to be ready."""

import statistics
import time

import psutil

from benchmarks.stand import stand

IDLE_S = 30.0
SETTLE_S = 3.0
STARTS = 5


def measure() -> list[tuple[str, str, str]]:
    """Return rows of (what, measured, goal)."""
    with stand({"require": "gguf-cpu"}) as running:
        agent = psutil.Process(running.pid)
        time.sleep(SETTLE_S)
        before, began_s = agent.cpu_times(), time.perf_counter()
        time.sleep(IDLE_S)
        after, took_s = agent.cpu_times(), time.perf_counter() - began_s
        rss_mb = agent.memory_info().rss / 1e6
        cpu_percent = (after.user + after.system - before.user - before.system) / took_s * 100
    starts_s = []
    for _ in range(STARTS):
        with stand({"require": "gguf-cpu"}) as running:
            starts_s.append(running.ready_s)
    return [
        ("memory (RSS) of the idle agent, without its worker", f"{rss_mb:.1f} MB", "under 60 MB"),
        ("processor time of the idle agent, of one core", f"{cpu_percent:.2f} %", "under 0.5 %"),
        (
            "`promptd run` to `ready` with the demo model, median",
            f"{statistics.median(starts_s):.2f} s",
            "under 2 s",
        ),
    ]
