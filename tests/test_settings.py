"""Settings: read once, checked, and every mistake is one sentence that says what to do."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.settings import Settings
from agent.settings_file import load, provision
from agent.wire.errors import ConfigError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("PROMPTD_") or name == "STATE_DIRECTORY":
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "promptd.toml"


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()

    assert (settings.broker.root, settings.broker.protocol) == ("promptd", "5")
    assert (settings.queue.capacity, settings.queue.max_payload_bytes) == (1000, 262_144)
    assert (settings.queue.default_timeout_s, settings.telemetry.interval_s) == (600, 10)
    assert (settings.engine.model, settings.engine.prefer, settings.engine.require) == ("demo", "auto", "")
    assert (settings.engine.slots, settings.engine.threads, settings.engine.context_length) == ("auto",) * 3
    assert settings.engine.cache_tokens == "auto"


def test_a_file_is_read(file: Path) -> None:
    file.write_text('device_id = "box-17"\n[broker]\nurl = "mqtts://broker.example"\nca_file = ""\n')

    settings = load(file)

    broker = settings.broker
    assert (settings.device_id, broker.scheme, broker.host, broker.port) == (
        "box-17",
        "mqtts",
        "broker.example",
        8883,
    )
    assert broker.ca_file is None


def test_the_environment_wins_over_the_file_key_by_key(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[broker]\nroot = "from-file"\nusername = "from-file"\n')
    monkeypatch.setenv("PROMPTD_BROKER__ROOT", "from-environment")

    broker = load(file).broker

    assert (broker.root, broker.username) == ("from-environment", "from-file")


def test_the_memory_plan_can_be_set_by_file_and_by_variables(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[engine]\ncontext_length = 1024\ncache_tokens = 0\n")
    monkeypatch.setenv("PROMPTD_ENGINE__CONTEXT_LENGTH", "2048")

    engine = load(file).engine

    assert (engine.context_length, engine.cache_tokens, engine.slots) == (2048, 0, "auto")


def test_the_command_line_wins_over_variables_and_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[engine]\ncontext_length = 1024\nprefer = "echo"\n')
    monkeypatch.setenv("PROMPTD_ENGINE__CONTEXT_LENGTH", "2048")

    engine = load(file, context_length=512).engine

    assert (engine.context_length, engine.prefer) == (512, "echo")


def test_what_came_with_the_certificate_wins_over_the_file_key_by_key(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(
        f'state_dir = "{tmp_path}"\ndevice_id = "new"\n[broker]\nroot = "plant"\nkeepalive_s = 30\n'
    )
    (tmp_path / "provisioned.toml").write_text(
        'device_id = "box-17"\n[broker]\nkeepalive_s = 60\nusername = "x"\n'
    )
    monkeypatch.setenv("PROMPTD_BROKER__USERNAME", "from-environment")

    settings = load(file)

    broker = settings.broker
    assert (settings.device_id, broker.root, broker.keepalive_s) == ("box-17", "plant", 60)
    assert broker.username == "from-environment"


@pytest.mark.parametrize("moved", ['state_dir = "/x"', '[identity]\nfolder = "/x"'])
def test_what_came_with_the_certificate_does_not_move_the_certificate_away(
    file: Path, tmp_path: Path, moved: str
) -> None:
    file.write_text(f'state_dir = "{tmp_path}"\n')

    with pytest.raises(ConfigError, match="must not move"):
        provision(moved, file)


def test_the_state_folder_comes_from_systemd_when_it_gives_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/promptd:/var/lib/other")

    settings = load()

    assert settings.state_dir == Path("/var/lib/promptd")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[broker]\nurll = 1", "did you mean broker.url?"),
        ("devise_id = 'x'", "did you mean device_id?"),
        ("[brokre]\nurl = 'x'", "unknown setting brokre"),
        ("[broker]\nurl = 'http://x'", "mqtts://broker.example:8883"),
        ("[broker]\nurl = 'mqtt://me:secret@x'", "broker.password_file"),
        ("[broker]\nroot = '$SYS'", "not starting with '$'"),
        ("[broker]\nroot = 'a//b'", "broker.root"),
        ("[broker]\nprotocol = '4'", "broker.protocol"),
        ("device_id = 'a/b'", "device_id"),
        ('device_id = "a\\n"', "device_id"),
        ("[queue]\ncapacity = 0", "queue.capacity"),
        ("[queue]\ncapacity = 'many'", "queue.capacity"),
        ("[engine]\nprefer = 'gpu'", "gguf-cpu"),
        ("[engine]\nslots = 0", "at least 1"),
        ("[engine]\ncontext_length = 0", "at least 1"),
        ("[engine]\ncache_tokens = -1", "at least 0"),
        ("[engine]\ncache_tokens = 'all'", "engine.cache_tokens"),
        ("[telemetry]\ninterval_s = 0", "telemetry.interval_s"),
        ("[logs]\nlevel = 'loud'", "logs.level"),
        ("device_id = 'a'\ndevice_id = 'b'", "not valid TOML"),
        ("device_id = ", "not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_the_file_it_stands_in(file: Path, toml: str, words: str) -> None:
    file.write_text(toml)

    with pytest.raises(ConfigError) as caught:
        load(file)

    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_a_configuration_error(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(file)

    assert str(file) in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    settings: Any = Settings()

    with pytest.raises(ValidationError):
        settings.broker.root = "other"

    assert settings.broker.root == "promptd"


def test_a_password_is_read_from_its_file_without_the_line_end(tmp_path: Path, file: Path) -> None:
    (tmp_path / "password").write_text(" s3cret \n")
    file.write_text(f'[broker]\npassword_file = "{tmp_path}/password"\n')

    found = load(file).broker.password()

    assert found == " s3cret "


def test_a_misspelt_variable_names_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTD_QEUE__CAPACITY", "3")

    with pytest.raises(ConfigError, match="did you mean PROMPTD_QUEUE"):
        load()


@pytest.mark.parametrize("port", ["0", "99999", "abc"])
def test_a_port_that_cannot_be_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("PROMPTD_BROKER__URL", f"mqtt://broker:{port}")

    with pytest.raises(ConfigError, match="1 to 65535"):
        load()


def test_check_names_every_mistake_and_writes_nothing(file: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    file.write_text("[engine]\nmodl = 'demo'\n[queue]\ncapacity = 0\n")
    command = [sys.executable, "-m", "agent.cli", "check", "--config", str(file)]
    environment = os.environ | {"STATE_DIRECTORY": str(state)}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 78
    assert ("did you mean engine.model" in done.stderr, "queue.capacity" in done.stderr) == (True, True)
    assert not state.exists()
