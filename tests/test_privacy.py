"""The page that tells what is kept where."""

import json
from pathlib import Path

from typer.testing import CliRunner

from agent.cli import app
from agent.privacy import places
from agent.settings import QueueSettings, Settings


def test_every_place_says_how_long_and_how_to_remove_it() -> None:
    found = places(Settings())

    assert all(place.kept and place.remove for place in found)


def test_the_sizes_are_those_of_the_settings() -> None:
    queue = QueueSettings(history_bytes=5 * 1024 * 1024)

    ledger = places(Settings(state_dir=Path("/srv/box"), queue=queue))[0]

    assert ledger.where == "/srv/box/ledger.db"
    assert "5 MiB" in ledger.kept


def test_the_command_has_a_page_for_people_and_one_for_scripts() -> None:
    page, script = (CliRunner().invoke(app, ["privacy", *options]) for options in ([], ["--json"]))

    assert "ledger.db" in page.output
    assert any(place["has_text"] for place in json.loads(script.output))
