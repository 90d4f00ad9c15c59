"""`promptd demo`: a local broker, the agent with the embedded model, a few real prompts, then yours."""

import contextlib
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import typer

from agent.client import Client
from agent.mqtt.local import local_broker, process
from agent.settings import BrokerSettings

DEVICE = "demo-box"
PROMPTS = (
    "Extract JSON: 12:04:11 WARN pump-17 pressure=9.3bar",
    "pump-17 pressure 9.3 bar, limit 8.0 bar. Over the limit?",
    "Grade alarm: pump-17 pressure 9.3 bar, warning above 8.0, critical above 10.5",
    "hello",
)
REPORT = {
    "engine": ("requested", "effective", "device", "library", "slots", "last_token_age_s"),
    "queue": ("waiting", "running", "unsent", "oldest_age_s"),
    "requests": ("accepted", "completed", "duplicates"),
    "speed": ("first_token_ms", "decode_tokens_per_s"),
    "host": ("cpu_percent", "temperature_c"),
}
READY_TIMEOUT_S = 60.0


def run(*, stays: bool) -> int:
    """Show the main job end to end; with `stays` it then waits for Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="promptd-demo-") as name,
        contextlib.suppress(KeyboardInterrupt),
        local_broker(Path(name)) as port,
    ):
        typer.echo(f"broker    mosquitto on 127.0.0.1:{port}")
        config = _config(Path(name), port)
        command = [sys.executable, "-m", "agent.cli", "run", "--config", str(config)]
        with process(command, Path(name) / "agent.log") as agent:
            typer.echo(f"agent     process {agent.pid}, device {DEVICE}, embedded model")
            _show(BrokerSettings(url=f"mqtt://127.0.0.1:{port}"))
            if stays:
                _invite(port)
                signal.pause()
    return 0


def _config(folder: Path, port: int) -> Path:
    path = folder / "promptd.toml"
    path.write_text(
        f'device_id = "{DEVICE}"\nstate_dir = "{folder}/state"\n'
        f'[broker]\nurl = "mqtt://127.0.0.1:{port}"\n[telemetry]\ninterval_s = 2\n'
    )
    return path


def _show(settings: BrokerSettings) -> None:
    with Client(settings, DEVICE) as client:
        client.wait_for("status", lambda status: status["state"] in ("ready", "degraded"), READY_TIMEOUT_S)
        for prompt in PROMPTS:
            typer.secho(f"\n> {prompt}", bold=True)
            body = {"messages": [{"role": "user", "content": prompt}], "stream": True}
            answer = client.ask(body, READY_TIMEOUT_S, on_text=lambda text: typer.echo(text, nl=False))
            typer.secho(f"\n  {_figures(answer)}", dim=True)
        wanted = len(PROMPTS)
        health = client.wait_for("health", lambda h: h["requests"]["completed"] >= wanted, READY_TIMEOUT_S)
    typer.secho("\nWhat the device says of itself (its health topic):", bold=True)
    for part, keys in REPORT.items():
        typer.echo(f"  {part:9}" + ", ".join(f"{key} {_plain(health[part][key])}" for key in keys))
    for fall in health["engine"]["falls"]:
        typer.secho(f"  fell     {fall}", fg="yellow")


def _figures(answer: dict[str, Any]) -> str:
    usage, timings, variant = answer["usage"], answer["timings"], answer["engine"]["variant"]
    tokens = f"{usage['prompt_tokens']} + {usage['completion_tokens']} tokens"
    return f"{variant}: {tokens}, the first after {timings['first_token_ms']:.0f} ms"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {one}" for key, one in value.items()) + ")"
    return "-" if value is None or value in ("", []) else str(value)


def _invite(port: int) -> None:
    typer.secho("\nThe demo goes on until you press Ctrl-C. In another terminal:", bold=True)
    typer.echo(f"  export PATH={Path(sys.executable).parent}:$PATH")
    typer.echo(f"  export PROMPTD_BROKER__URL=mqtt://127.0.0.1:{port} PROMPTD_DEVICE_ID={DEVICE}")
    typer.echo('  promptd ask "Extract JSON: 08:15:02 ERROR fan-3 speed=210rpm"')
    typer.echo(f"  mosquitto_sub -h 127.0.0.1 -p {port} -t 'promptd/#' -v")
