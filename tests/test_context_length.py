"""`--context-length`: for one run, whatever the settings file and the variables say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "promptd.toml"
    file.write_text(f'state_dir = "{tmp_path}/state"\n[engine]\ncontext_length = 1024\n')
    return file


def run(config: Path, command: str, *options: str) -> Any:  # noqa: ANN401 -- JSON
    arguments = [sys.executable, "-m", "agent.cli", command, "--json", "--config", str(config), *options]
    return json.loads(subprocess.run(arguments, capture_output=True, check=True, timeout=100).stdout)


def contexts(detected: Any) -> set[int]:  # noqa: ANN401 -- JSON
    return {verdict["context_length"] for verdict in detected["verdicts"] if verdict["fits"]}


def test_the_settings_file_decides_where_nobody_else_does(config: Path) -> None:
    found = run(config, "detect")

    assert contexts(found) == {1024}


def test_a_variable_wins_over_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTD_ENGINE__CONTEXT_LENGTH", "512")

    found = run(config, "detect")

    assert contexts(found) == {512}


def test_the_command_line_of_detect_wins_over_both(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTD_ENGINE__CONTEXT_LENGTH", "512")

    found = run(config, "detect", "--context-length", "256")

    assert contexts(found) == {256}


def test_calibrate_judges_with_the_context_of_its_command_line(config: Path) -> None:
    found = run(config, "calibrate", "--context-length", "256", "--variant", "gguf-cpu")

    assert found["after"]["context_length"] == 256
    assert [one["variant"] for one in found["measured"]] == ["gguf-cpu"]


def test_a_context_that_the_model_was_not_trained_for_is_refused_with_both_numbers(config: Path) -> None:
    found = run(config, "detect", "--context-length", "4096")

    reasons = {verdict["variant"]: verdict["reason"] for verdict in found["verdicts"]}
    assert contexts(found) == set()
    assert "4096, but the model was trained for 2048" in reasons["gguf-cpu"]


def test_a_context_of_no_tokens_is_a_mistake_of_usage(config: Path) -> None:
    arguments = [
        sys.executable,
        "-m",
        "agent.cli",
        "detect",
        "--config",
        str(config),
        "--context-length",
        "0",
    ]

    done = subprocess.run(arguments, capture_output=True, check=False, timeout=100)

    assert done.returncode == 2
    assert b"--context-length" in done.stderr
