"""Files that a link begins with, and what is said of one that cannot be used."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rig.certificates import Certificates

from agent.mqtt.dialing import Identity, build
from agent.settings import LONGEST_PASSWORD_BYTES, BrokerSettings
from agent.wire.errors import ConfigError

Files = dict[str, Path]


@pytest.fixture
def files(certificates: Certificates, tmp_path: Path) -> Files:
    """Return copies that a test may break."""
    names = {"ca_file": "ca.pem", "cert_file": "device.pem", "key_file": "device.key"}
    for name in names.values():
        (tmp_path / name).write_bytes((certificates.folder / name).read_bytes())
    return {setting: tmp_path / name for setting, name in names.items()}


def dial(files: Files) -> None:
    settings = {name: str(path) for name, path in files.items()}
    build(BrokerSettings.model_validate({"url": "mqtts://127.0.0.1", **settings}), Identity("device"))


@pytest.mark.parametrize("setting", ["ca_file", "cert_file", "key_file"])
def test_a_file_that_is_away_is_named_with_its_setting(files: Files, setting: str) -> None:
    files[setting].unlink()

    with pytest.raises(ConfigError, match=f"broker.{setting}: {files[setting]} cannot be read"):
        dial(files)


def empty(file: Path) -> None:
    file.write_text("")


def encrypt(file: Path) -> None:
    words = ["openssl", "pkcs8", "-topk8", "-in", str(file), "-passout", "pass:secret", "-out", f"{file}.new"]
    subprocess.run(words, check=True)
    Path(f"{file}.new").rename(file)


@pytest.mark.parametrize(
    ("setting", "harm"),
    [("ca_file", empty), ("cert_file", empty), ("key_file", empty), ("key_file", encrypt)],
)
def test_a_file_that_cannot_be_used_is_named_and_nobody_is_asked_for_a_password(
    files: Files, setting: str, harm: Callable[[Path], None]
) -> None:
    harm(files[setting])

    with pytest.raises(ConfigError, match=str(files[setting])):
        dial(files)


def test_a_password_that_mqtt_cannot_carry_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("x" * (LONGEST_PASSWORD_BYTES + 1))

    with pytest.raises(ConfigError, match="too long to be a password"):
        BrokerSettings(password_file=file).password()
