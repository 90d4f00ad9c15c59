"""`promptd demo`: a local broker, the agent with the embedded model, a few real prompts, then yours."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from agent.client import Client
from agent.settings import BrokerSettings
from agent.wire.errors import AgentError

DEVICE = "demo-box"
PROMPTS = (
    "Extract JSON: 12:04:11 WARN pump-17 pressure=9.3bar",
    "pump-17 pressure 9.3 bar, limit 8.0 bar. Over the limit?",
    "Grade alarm: pump-17 pressure 9.3 bar, warning above 8.0, critical above 10.5",
    "hello",
)
READY_TIMEOUT_S = 60.0
MOSQUITTO_PLACES = ("mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")


class DemoError(AgentError):
    """The demo cannot run here."""


def run(*, stays: bool) -> int:
    """Show the main job end to end; with `stays` it then waits for Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="promptd-demo-") as name:
        folder, port = Path(name), _free_port()
        config = folder / "promptd.toml"
        config.write_text(
            f'device_id = "{DEVICE}"\nstate_dir = "{folder}/state"\n[broker]\nurl = "mqtt://127.0.0.1:{port}"\n'
            "[telemetry]\ninterval_s = 2\n"
        )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt), _broker(folder, port), _agent(folder, config):
            _show(BrokerSettings(url=f"mqtt://127.0.0.1:{port}"), folder)
            if stays:
                _invite(config, port)
                signal.pause()
    return 0


def _show(settings: BrokerSettings, folder: Path) -> None:
    with Client(settings, DEVICE) as client:
        for prompt in PROMPTS:
            typer.secho(f"\n> {prompt}", bold=True)
            body = {"messages": [{"role": "user", "content": prompt}], "stream": True}
            answer = client.ask(body, READY_TIMEOUT_S, on_text=lambda text: typer.echo(text, nl=False))
            typer.secho(f"\n  {_figures(answer)}", dim=True)
    typer.secho("\nWhat the agent logged:", bold=True)
    typer.echo((folder / "agent.log").read_text(encoding="utf-8").rstrip())


def _figures(answer: dict[str, Any]) -> str:
    usage, timings = answer["usage"], answer["timings"]
    return (
        f"{answer['engine']['variant']}: {usage['prompt_tokens']} + {usage['completion_tokens']} tokens, first "
        f"after {timings['first_token_ms']:.0f} ms, then {timings['decode_tokens_per_s']:.0f} tokens/s"
    )


def _invite(config: Path, port: int) -> None:
    typer.secho("\nThe demo goes on until you press Ctrl-C. In another terminal:", bold=True)
    program = Path(sys.argv[0]).resolve()
    typer.echo(f'  {program} ask --config {config} "Extract JSON: 08:15:02 ERROR fan-3 speed=210rpm"')
    typer.echo(f"  mosquitto_sub -p {port} -t 'promptd/#' -v")


@contextlib.contextmanager
def _broker(folder: Path, port: int) -> Iterator[None]:
    program = next(filter(None, map(shutil.which, MOSQUITTO_PLACES)), None)
    if program is None:
        raise DemoError("the demo needs a broker: install mosquitto (apt install mosquitto) and run it again")
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
    with _process([program, "-c", str(config)], folder / "mosquitto.log"):
        _wait_for_port(port)
        typer.echo(f"broker    mosquitto on 127.0.0.1:{port}")
        yield


@contextlib.contextmanager
def _agent(folder: Path, config: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "agent.cli", "run", "--config", str(config)]
    with _process(command, folder / "agent.log") as process:
        typer.echo(f"agent     process {process.pid}, device {DEVICE}, embedded model")
        yield


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)  # noqa: S603 -- ours
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait_for_port(port: int) -> None:
    end_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise DemoError(f"the broker does not listen on port {port}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
