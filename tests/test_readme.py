"""Every line that README.md asks a reader to type against a running device is typed here."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.client import Client
from agent.mqtt.local import local_broker, process
from agent.settings import BrokerSettings

ROOT = Path(__file__).parent.parent
ANSWER = "I am promptd's demo model"
TypeIn = Callable[[str], str]


def line(heading: str, beginning: str) -> str:
    """Return the one line of the README's console blocks below `heading` that begins so."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", section, flags=re.DOTALL)
    lines = [one.removeprefix("$ ") for block in blocks for one in block.splitlines()]
    found: str
    (found,) = [one for one in lines if one.startswith(beginning)]
    return found


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("readme")
    with (
        local_broker(folder) as port,
        process([sys.executable, "-m", "agent.cli", "run"], folder / "agent.log", surroundings(port, folder)),
        Client(BrokerSettings(url=f"mqtt://127.0.0.1:{port}"), "demo-box") as client,
    ):
        client.wait_for("status", lambda status: status["state"] == "ready", 60)
        yield port


@pytest.fixture
def type_in(port: int, tmp_path: Path) -> TypeIn:
    def type_in(text: str) -> str:
        command = ["bash", "-c", text.replace("PORT", str(port))]
        environment = surroundings(port, tmp_path)
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=environment, check=False
        )
        return done.stdout + done.stderr

    return type_in


def surroundings(port: int, folder: Path) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PROMPTD_DEVICE_ID": "demo-box",
        "PROMPTD_STATE_DIR": str(folder / "state"),
        "PROMPTD_BROKER__URL": f"mqtt://127.0.0.1:{port}",
        "PROMPTD_TELEMETRY__INTERVAL_S": "1",
    }


def test_promptd_ask_prints_the_answer_to_the_line_of_the_readme(type_in: TypeIn) -> None:
    question = line("Ask from any MQTT client", 'promptd ask "Extract')

    printed = type_in(question)

    assert json.loads(printed)["device"] == "fan-3"


def test_promptd_ask_prints_what_the_schema_in_the_line_of_the_readme_allows(type_in: TypeIn) -> None:
    question = line("Ask from any MQTT client", 'promptd ask "JSON')

    printed = type_in(question)

    assert json.loads(printed) == {"time": "08:15:02", "level": "ERROR"}


def test_mosquitto_rr_gets_the_answer_on_its_own_response_topic(type_in: TypeIn) -> None:
    request = line("Ask from any MQTT client", "mosquitto_rr")

    printed = type_in(request)

    assert ANSWER in json.loads(printed)["choices"][0]["message"]["content"]


def test_mosquitto_sub_hears_the_answer_to_what_mosquitto_pub_asks(type_in: TypeIn) -> None:
    subscribe = line(
        "Ask from any MQTT client",
        "mosquitto_sub -h 127.0.0.1 -p PORT -t 'promptd/v1/device/demo-box/response/#'",
    )
    publish = line("Ask from any MQTT client", "mosquitto_pub")

    # The subscriber of the README is in the background; the publisher repeats, which is what an id is for.
    printed = type_in(f"{subscribe} pid=$!; until ! kill -0 $pid 2>/dev/null; do {publish}; done")

    assert json.loads(printed)["id"] == "first"


def test_mosquitto_sub_hears_the_health_of_the_device(type_in: TypeIn) -> None:
    subscribe = line(
        "Ask from any MQTT client", "mosquitto_sub -h 127.0.0.1 -p PORT -t promptd/v1/device/demo-box/health"
    )

    printed = type_in(subscribe)

    assert json.loads(printed)["requests"]["failed"] == {}


def test_the_python_example_of_the_readme_runs(type_in: TypeIn, port: int) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    program = program.replace("127.0.0.1:1883", f"127.0.0.1:{port}").replace("box-17", "demo-box")

    printed = type_in(f"python - <<'END'\n{program}\nEND")

    assert printed.startswith(ANSWER)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("promptd detect", "gguf-cpu runs first"),
        ("promptd models list", "promptd models pull phi-3-mini"),
        ("promptd models verify", "demo"),
    ],
)
def test_a_command_about_models_says_what_it_found(type_in: TypeIn, command: str, expected: str) -> None:
    typed = line("See what a box can run, and give it a real model", command)

    printed = type_in(typed)

    assert expected in printed
