"""Promptd itself: broker, agent and worker, asked over MQTT like by anybody."""

import contextlib
from collections.abc import Iterator

from benchmarks.asking_mqtt import MqttAsker
from benchmarks.models import VARIANTS
from benchmarks.peers.setup import Setup
from benchmarks.stand import DEVICE, stand


@contextlib.contextmanager
def promptd(setup: Setup) -> Iterator[MqttAsker]:
    """Run the agent as long as the block lasts."""
    engine = {
        "model": str(setup.model),
        "require": VARIANTS[setup.form],
        "threads": setup.threads,
        "slots": setup.slots,
        "context_length": setup.context_tokens,
    }
    topic = f"promptd/v1/device/{DEVICE}/request/{{operation}}"
    with stand(engine) as running, MqttAsker(running.port, topic) as asker:
        yield asker
