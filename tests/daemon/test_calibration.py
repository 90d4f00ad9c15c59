"""A device that was measured says so, predicts from it, and survives a file that is damaged."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig.box import TOPICS, Box, chat
from rig.kinds import Connect
from rig.mosquitto import Mosquitto


@pytest.fixture
def box(tmp_path: Path, mosquitto: Mosquitto, connect: Connect) -> Iterator[Box]:
    """Return a device that is configured and not started yet."""
    box = Box(tmp_path, mosquitto.url, connect(mosquitto.port))
    yield box
    if box.births:
        box.child.end()


def calibrate(box: Box, *options: str) -> Any:  # noqa: ANN401 -- JSON
    command = [
        sys.executable,
        "-m",
        "agent.cli",
        "calibrate",
        "--json",
        "--config",
        str(box.config),
        *options,
    ]
    done = subprocess.run(command, capture_output=True, check=True, timeout=100)
    assert done.stderr == b""
    return json.loads(done.stdout)


def info(box: Box) -> Any:  # noqa: ANN401 -- JSON
    reply = box.requester.wait_for(lambda r: r.topic == TOPICS.info and r.body["engine"]["phase"] == "ready")
    return reply.body


def test_a_calibrated_device_says_so_and_predicts_when_its_first_prompt_ends(box: Box) -> None:
    measured = calibrate(box)["measured"]
    box.start()

    (accepted,) = box.heard(box.send(chat("hello", progress=True, max_tokens=5)), "accepted")

    assert [one["variant"] for one in measured] == ["echo"]
    assert accepted.body["queue"]["predicted_finish_ms"] is not None
    told = info(box)
    (variant,) = [one for one in told["variants"] if one["variant"] == "echo"]
    assert told["engine"]["is_calibrated"] is True
    assert variant["speeds"] == measured[0]["speeds"]


def test_a_damaged_calibration_keeps_no_device_from_working(box: Box) -> None:
    (box.folder / "state").mkdir()
    (box.folder / "state" / "calibration.json").write_text("{")
    box.start()

    reply = box.ending(box.send(chat("hello")))

    assert reply.event == "completed"
    assert info(box)["engine"]["is_calibrated"] is False
    box.child.wait_for_line(lambda line: "calibration_ignored" in line)


def test_the_context_length_of_the_command_line_is_honoured(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTD_ENGINE__CONTEXT_LENGTH", "2048")
    box.launch(options=("--context-length", "100"))
    box.wait_for_state("ready")

    code = box.error_code(box.send(chat("x" * 120)))

    assert code == "context_length_exceeded"
    assert info(box)["engine"]["context_length"] == 100
