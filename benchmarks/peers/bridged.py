"""Runs a bridge of ours as a process of its own, with a broker of its own, and asks it over MQTT."""

import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from agent.mqtt.local import local_broker, process
from benchmarks.answer import PeerError
from benchmarks.asking_mqtt import MqttAsker
from benchmarks.peers.doorstep import ASK_TOPIC, READY_TOPIC
from benchmarks.peers.setup import Setup
from benchmarks.requester import connected

READY_TIMEOUT_S = 180.0


@contextlib.contextmanager
def bridged(module: str, setup: Setup) -> Iterator[MqttAsker]:
    """Run `python -m benchmarks.peers.<module>` as long as the block lasts."""
    with tempfile.TemporaryDirectory() as name, local_broker(Path(name)) as port:
        wishes = json.dumps(asdict(setup) | {"model": str(setup.model)})
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", str(port), wishes]
        log = Path(name) / "log"
        with process(command, log, dict(os.environ)):
            _wait(port, log)
            with MqttAsker(port, ASK_TOPIC) as asker:
                yield asker


def given() -> tuple[int, Setup]:
    """Return what the bridge's process was given: the broker's port and the setup."""
    wishes = json.loads(sys.argv[2])
    return int(sys.argv[1]), Setup(**wishes | {"model": Path(wishes["model"])})


def _wait(port: int, log: Path) -> None:
    ready = threading.Event()
    client = connected(port, lambda *_: ready.set())
    client.subscribe(READY_TOPIC, qos=1)
    is_ready = ready.wait(READY_TIMEOUT_S)
    client.disconnect()
    client.loop_stop()
    if not is_ready:
        raise PeerError(f"the bridge does not start: {log.read_text(errors='replace')[-2000:]}")
