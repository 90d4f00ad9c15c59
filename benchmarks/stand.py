"""The test stand: a broker, an agent, and a bare requester that measures on the wire."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.client import AskError, Client
from agent.mqtt.local import local_broker, process
from agent.settings import BrokerSettings

DEVICE = "bench"
READY_TIMEOUT_S = 300.0
GLANCE_S = 1.0
BUILD = Path("build")
"""On the disk of the checkout: a commit on a memory file system would be too fast to be true."""


@dataclass(frozen=True, slots=True)
class Stand:
    """A running agent."""

    port: int
    pid: int
    ready_s: float
    """From the start of the process to the retained status `ready`."""

    @property
    def broker(self) -> BrokerSettings:
        """How to reach the broker."""
        return BrokerSettings(url=f"mqtt://127.0.0.1:{self.port}")


@contextlib.contextmanager
def stand(engine: dict[str, Any], broker_port: int | None = None) -> Iterator[Stand]:
    """Run a broker and an agent with these `[engine]` settings."""
    with (
        tempfile.TemporaryDirectory(prefix="promptd-bench-", dir=BUILD) as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        port = broker_port or stack.enter_context(local_broker(folder))
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in engine.items())
        config = folder / "promptd.toml"
        config.write_text(
            f'device_id = "{DEVICE}"\nstate_dir = "{folder}/state"\n[broker]\nurl = "mqtt://127.0.0.1:{port}"\n'
            f"[engine]\n{lines}\n"
        )
        with Client(BrokerSettings(url=f"mqtt://127.0.0.1:{port}"), DEVICE) as client:
            began_s = time.monotonic()
            command = [sys.executable, "-m", "agent.cli", "run", "--config", str(config)]
            agent = stack.enter_context(process(command, folder / "agent.log", dict(os.environ)))
            _wait_until_ready(client, agent, folder / "agent.log")
            yield Stand(port, agent.pid, time.monotonic() - began_s)


def _wait_until_ready(client: Client, agent: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for the status `ready`, but not for an agent that has ended."""
    end_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < end_s and agent.poll() is None:
        with contextlib.suppress(AskError):
            client.wait_for("status", lambda status: status["state"] == "ready", GLANCE_S)
            return
    raise SystemExit(f"promptd does not become ready: {log.read_text(errors='replace')[-2000:]}")
