"""One agent for one state folder."""

from pathlib import Path
from queue import Queue
from typing import IO

import pytest

from agent.host.lock import hold
from agent.host.pulse import spawn
from agent.wire.errors import ConfigError


def test_a_second_holder_is_refused_by_name(tmp_path: Path) -> None:
    with hold(tmp_path / "lock"), pytest.raises(ConfigError) as caught:
        hold(tmp_path / "lock")

    assert str(tmp_path) in str(caught.value)


def test_the_lock_is_free_once_its_holder_is_gone(tmp_path: Path) -> None:
    hold(tmp_path / "lock").close()

    again = hold(tmp_path / "lock")

    again.close()
    assert again.closed


def test_whoever_waits_for_the_lock_has_it_once_its_holder_is_gone(tmp_path: Path) -> None:
    held = hold(tmp_path / "lock")
    waiting: Queue[IO[str]] = Queue()
    spawn("waiting", lambda: waiting.put(hold(tmp_path / "lock", waits=True)), lambda *_: None)

    held.close()

    taken = waiting.get(timeout=10)
    with pytest.raises(ConfigError):
        hold(tmp_path / "lock")
    taken.close()


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError) as caught:
        hold(tmp_path / "file" / "lock")

    assert "state_dir" in str(caught.value)
