"""What every scenario stands on: a broker, a link, a device, and a requester that asks without pause."""

import contextlib
import math
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rig.mosquitto import Mosquitto, mosquitto_in

from chaos.device import Device, Tables
from chaos.proxy import Proxy
from chaos.requester import PATIENCE_S, REPEAT_S, Requester
from chaos.tally import CALM, Finding, late

TICK_S = 0.5
WINDOW = 8
"""Requests that are open at any time."""


class BrokenStandError(Exception):
    """Nothing was broken yet, and still the agent does not answer: the scenario would prove nothing."""


@dataclass(slots=True)
class Stand:
    """The parts, and what a scenario has noted so far."""

    broker: Mosquitto
    proxy: Proxy
    device: Device
    requester: Requester
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    recoveries_s: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    delays: list[str] = field(default_factory=list)

    def recover(self, timeout_s: float = PATIENCE_S) -> None:
        """Ask whether the device is there again, and note how long that took; who died is started again."""
        began_s = time.monotonic()
        question = self.requester.ask(f"are you there again? {uuid.uuid4().hex}")
        while not self.requester.wait_for(question, TICK_S) and time.monotonic() < began_s + timeout_s:
            if self.device.exit_code is not None:
                self.device.look()
                self.device.launch()
        self.recoveries_s.append(time.monotonic() - began_s if question.answers else math.inf)

    def restart(self) -> None:
        """Stop the agent politely and start it anew, as a service does."""
        self.device.terminate()
        self.device.launch()
        self.requester.probe()

    def finish(self, tried: int, *, allowed: frozenset[str] = CALM, goal_s: float = PATIENCE_S) -> Finding:
        """Wait for what is open, count, and say where the goal is not met."""
        tally = self.requester.settle()
        self.device.look()
        found = [
            *tally.complaints(allowed),
            *self.device.surprises,
            *(["it did not come back"] if math.inf in self.recoveries_s else []),
            *self.complaints,
        ]
        delays = (*late(self.recoveries_s, goal_s), *self.delays)
        return Finding(tried, tally, tuple(found), delays, tuple(self.recoveries_s))


@contextlib.contextmanager
def stand(
    folder: Path,
    *,
    tables: Tables | None = None,
    environment: Mapping[str, str] | None = None,
    has_proxy: bool = False,
    is_echo: bool = True,
    window: int = WINDOW,
    repeat_s: float = REPEAT_S,
) -> Iterator[Stand]:
    """Keep everything running as long as the context lasts; it is handed over once the agent has answered.

    Raises:
        BrokenStandError: it has not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        mosquitto_in(folder) as broker,
        Proxy(broker.port) as proxy,
        Requester(broker.port, repeat_s=repeat_s, is_echo=is_echo) as requester,
        Device(folder, proxy.url if has_proxy else broker.url, tables, environment) as device,
    ):
        requester.wait_for_state("ready", 0.0)
        if math.isinf(requester.probe()):
            raise BrokenStandError(f"the agent does not answer: {device.last_words}")
        requester.keep_asking(window)
        yield Stand(broker, proxy, device, requester)
