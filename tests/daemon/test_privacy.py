"""Prompts and answers stand in the ledger and on their way to the requester, and nowhere else."""

import secrets
from pathlib import Path

import pytest
from rig.box import Box, chat
from rig.kinds import StartBox

CANARY = f"canary-{secrets.token_hex(16)}"
NEEDLE = CANARY.encode()


def reports(box: Box) -> list[bytes]:
    """Return everything the device said that is no answer."""
    return [reply.payload for reply in box.requester.replies if not reply.event]


@pytest.fixture
def box(start_box: StartBox) -> Box:
    box = start_box(logs={"format": "json", "level": "debug"})
    answered = box.send(chat(f"{CANARY} one", stream=True))
    refused = box.send(chat(f"{CANARY} two", seed=-1))
    box.send(chat(f"{CANARY} three"), response_topic="elsewhere/answers", correlation=b"c")
    box.ending(answered)
    box.ending(refused)
    with box.busy_engine() as running:
        waits = box.send(chat(f"{CANARY} four"))
        box.worker().kill()
    box.ending(running)
    box.ending(waits)
    box.wait_for_health(lambda health: bool(health["engine"]["restarts"]))
    return box


def test_nothing_of_a_prompt_is_logged(box: Box) -> None:
    lines = [line for line in box.child.lines if CANARY in line]

    assert lines == []


def test_nothing_of_a_prompt_is_reported(box: Box) -> None:
    said = [payload for payload in reports(box) if NEEDLE in payload]

    assert said == []


def test_only_the_ledger_holds_text(box: Box) -> None:
    state = box.folder / "state"

    holders = {file.name.split("-")[0] for file in state.rglob("*") if file.is_file() and holds(file)}

    assert holders == {"ledger.db"}


def test_nobody_else_can_read_the_ledger(box: Box) -> None:
    modes = {file.stat().st_mode & 0o077 for file in (box.folder / "state").glob("ledger.db*")}

    assert modes == {0}


def holds(file: Path) -> bool:
    return NEEDLE in file.read_bytes()
