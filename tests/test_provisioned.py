"""Settings that came with the certificate: kept whole, and only if the box can start with them."""

from pathlib import Path

import pytest

from agent.settings_file import PROVISIONED, load, load_own, provision
from agent.wire.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file that a box was given by hand."""
    file = tmp_path / "promptd.toml"
    file.write_text(f'device_id = "by-hand"\nstate_dir = "{tmp_path}/state"\n[queue]\ncapacity = 5\n')
    return file


def test_what_came_with_the_certificate_wins_over_the_file_key_by_key(file: Path) -> None:
    provision('device_id = "box-17"\n[queue]\nmax_bytes = 4096\n', file)

    settings = load(file)

    assert settings.device_id == "box-17"
    assert (settings.queue.capacity, settings.queue.max_bytes) == (5, 4096)


def test_what_the_box_was_given_by_hand_can_be_read_alone(file: Path) -> None:
    provision('device_id = "box-17"\n', file)

    settings = load_own(file)

    assert settings.device_id == "by-hand"


@pytest.mark.parametrize(
    ("text", "words"),
    [("no TOML", "not valid TOML"), ("[queue]\ncapacty = 1\n", "did you mean queue.capacity")],
)
def test_settings_with_which_the_box_could_not_start_leave_the_old_ones(
    file: Path, text: str, words: str
) -> None:
    provision('device_id = "box-17"\n', file)

    with pytest.raises(ConfigError, match=words):
        provision(text, file)

    assert load(file).device_id == "box-17"


def test_what_is_kept_is_for_its_owner_alone(file: Path) -> None:
    settings = provision('device_id = "box-17"\n', file)

    mode = (settings.state_dir / PROVISIONED).stat().st_mode

    assert mode & 0o777 == 0o600
