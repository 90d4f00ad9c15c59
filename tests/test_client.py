"""The Python client and `promptd ask`, against a real device and against none."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from rig.box import DEVICE
from rig.kinds import StartBox
from rig.mosquitto import Mosquitto
from typer.testing import CliRunner

from agent.cli import app
from agent.client import AskError, Client, schema_format
from agent.mqtt.local import free_port
from agent.settings import BrokerSettings


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """`promptd ask` sets the logs up for its own process, which is ours here."""
    yield
    structlog.reset_defaults()


def test_a_streamed_answer_is_heard_piece_by_piece_and_whole(
    start_box: StartBox, mosquitto: Mosquitto
) -> None:
    start_box()
    text = "good morning " * 50
    question = {"messages": [{"role": "user", "content": text}], "stream": True}
    pieces: list[str] = []

    with Client(BrokerSettings(url=mosquitto.url), DEVICE) as client:
        answer = client.ask(question, 30, on_text=pieces.append)

    assert "".join(pieces) == answer["choices"][0]["message"]["content"] == text


def test_a_client_of_mqtt_3_hears_its_answer_on_the_topic_of_the_device(
    start_box: StartBox, mosquitto: Mosquitto
) -> None:
    start_box()
    settings = BrokerSettings(url=mosquitto.url, protocol="3.1.1")

    with Client(settings, DEVICE) as client:
        answer = client.ask({"messages": [{"role": "user", "content": "hello"}]}, 30)

    assert answer["choices"][0]["message"]["content"] == "hello"


def test_a_refusal_is_an_error_that_names_its_code(start_box: StartBox, mosquitto: Mosquitto) -> None:
    start_box()

    with (
        Client(BrokerSettings(url=mosquitto.url), DEVICE) as client,
        pytest.raises(AskError, match=r"model_not_found: .*this device runs"),
    ):
        client.ask({"messages": [{"role": "user", "content": "hello"}], "model": "gpt-9"}, 30)


def test_a_device_that_was_never_seen_is_named_as_such(mosquitto: Mosquitto) -> None:
    settings = BrokerSettings(url=mosquitto.url)

    with (
        Client(settings, "nobody") as client,
        pytest.raises(AskError, match="never been seen on this broker"),
    ):
        client.ask({"messages": [{"role": "user", "content": "hello"}]}, 0.3)


def test_ask_reads_the_question_from_standard_input(
    start_box: StartBox, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_box()
    monkeypatch.setenv("PROMPTD_BROKER__URL", mosquitto.url)

    done = CliRunner().invoke(app, ["ask", "-", "--device", DEVICE, "--json"], input="grüß dich 🙂")

    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "grüß dich 🙂"


def test_ask_prints_what_the_schema_in_the_file_allows(
    start_box: StartBox, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start_box()
    monkeypatch.setenv("PROMPTD_BROKER__URL", mosquitto.url)
    schema = tmp_path / "grade.json"
    schema.write_text('{"enum": ["ok", "alarm"]}')

    done = CliRunner().invoke(app, ["ask", "hello", "--device", DEVICE, "--schema", str(schema)])

    assert json.loads(done.stdout) in ("ok", "alarm")


@pytest.mark.parametrize(
    ("content", "advice"),
    [(None, "give the path of a file"), ("{", "write a JSON schema into it"), ("[]", 'looks like {"type"')],
)
def test_a_schema_file_that_is_no_use_is_named_with_what_to_do(
    tmp_path: Path, content: str | None, advice: str
) -> None:
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(AskError) as error:
        schema_format(path)

    assert (str(path) in str(error.value), advice in str(error.value)) == (True, True)


def test_ask_without_a_broker_says_where_it_looked(tmp_path: Path) -> None:
    config, port = tmp_path / "promptd.toml", free_port()
    config.write_text(f'[broker]\nurl = "mqtt://127.0.0.1:{port}"\n')

    done = CliRunner().invoke(app, ["ask", "hello", "--config", str(config)])

    assert f"cannot reach the broker at 127.0.0.1:{port}" in str(done.exception)
