import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.models.commands import app
from models.ggufs import gguf, write
from models.hub import serving
from models.test_store import install, manifest


@pytest.fixture
def state(tmp_path: Path) -> list[str]:
    path = tmp_path / "promptd.toml"
    path.write_text(f'state_dir = "{tmp_path.as_posix()}"\n')
    return ["--config", str(path)]


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


@pytest.mark.parametrize("command", ["list", "pull", "verify", "inspect"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    code, output = run(command, "--help")

    assert code == 0
    assert f"Example: promptd models {command}" in output


def test_the_list_has_installed_and_pullable_models(state: list[str], tmp_path: Path) -> None:
    install(tmp_path / "models" / "tiny", manifest())

    code, output = run("list", "--json", *state)

    rows = {row["name"]: row["installed"] for row in json.loads(output)}
    assert code == 0
    assert (rows["tiny"], rows["phi-3-mini"]) == (True, False)


def test_the_list_for_people_says_how_to_get_a_model(state: list[str]) -> None:
    code, output = run("list", *state)

    assert code == 0
    assert "promptd models pull phi-3-mini" in output


def test_verify_succeeds_on_a_whole_model(state: list[str], tmp_path: Path) -> None:
    install(tmp_path / "models" / "tiny", manifest())

    code, output = run("verify", "tiny", *state)

    assert code == 0
    assert "model.gguf is good" in output.replace("\n", "")


def test_verify_fails_on_a_damaged_model(state: list[str], tmp_path: Path) -> None:
    folder = install(tmp_path / "models" / "tiny", manifest())
    (folder / "model.gguf").write_bytes(b"")

    code, output = run("verify", "tiny", "--json", *state)

    assert code == 1
    assert "0 bytes instead of" in json.loads(output)[0]["fault"]


def test_inspect_tells_the_shape_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, gguf())

    code, output = run("inspect", str(path), "--json")

    row = json.loads(output)
    assert code == 0
    assert (row["layers"], row["kv_heads"], row["head_dim"], row["context_length"]) == (2, 2, 16, 128)


def test_inspect_of_a_malformed_file_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path, b"GGML")

    code, output = run("inspect", str(path))

    assert code == 1
    assert output.startswith("promptd: ")
    assert "Traceback" not in output


def test_pull_of_an_unknown_name_names_the_catalogue(state: list[str]) -> None:
    code, output = run("pull", "nothing", *state)

    assert code == 1
    assert "phi-3-mini" in output


def test_pull_for_an_engine_that_cannot_fit_gives_the_reason(state: list[str]) -> None:
    code, output = run("pull", "phi-3-mini", "--engine", "onnx-dml-int4", *state)

    assert code == 1
    assert "does not fit this box (onnx-dml-int4: " in output


def test_pull_fetches_from_the_hub_that_the_environment_names(state: list[str], tmp_path: Path) -> None:
    program = "from agent.models.commands import app; app()"
    words = ["pull", "phi-3-mini", "--engine", "gguf-cpu", "--force", *state]
    with serving({"Phi-3-mini-4k-instruct-q4.gguf": gguf()}) as hub:
        environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf")}

        result = subprocess.run(
            [sys.executable, "-c", program, *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    code, output = run("verify", "phi-3-mini", *state)
    assert (result.returncode, result.stdout.strip()) == (0, str(tmp_path / "models" / "phi-3-mini"))
    assert (code, "is good" in output) == (0, True)


def test_a_broken_configuration_ends_with_its_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "promptd.toml"
    path.write_text("[enigne]\n")

    code, output = run("list", "--config", str(path))

    assert code == 78
    assert "enigne" in output


def test_the_commands_start_without_the_libraries_that_only_a_pull_needs() -> None:
    heavy = {"huggingface_hub", "numpy", "pynvml", "rich.progress"}
    program = f"import sys, agent.models.commands; print({heavy} & set(sys.modules))"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "set()"
