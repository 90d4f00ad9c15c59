"""What the journal is sent, on a socket that speaks its protocol."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.journal import name_of

PROGRAM = """
import os, sys
import structlog
from agent.host import journal, logs
from agent.settings import LogSettings
seen = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{seen.st_dev}:{seen.st_ino}"
journal.SOCKET = sys.argv[1]
logs.configure(LogSettings())
log = structlog.get_logger("promptd.test")
"""


class Journal:
    """A journal that keeps what it is sent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stream = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.stream.bind(str(path))
        self.stream.settimeout(10)

    def entry(self) -> dict[str, str]:
        """Take an entry apart as systemd.io/JOURNAL_NATIVE_PROTOCOL describes it."""
        rest, fields = self.stream.recv(1 << 20), {}
        while rest:
            name, _, rest = rest.partition(b"\n")
            end = 8 + int.from_bytes(rest[:8], "little")
            assert rest[end : end + 1] == b"\n"
            fields[name.decode()], rest = rest[8:end].decode(), rest[end + 1 :]
        return fields


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.stream.close()


def written(program: str, path: Path) -> str:
    """Run a program that logs, under a journal at `path`; return its standard error."""
    command = [sys.executable, "-c", PROGRAM + program, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stderr


def test_an_event_can_be_found_by_its_name_and_its_fields(journal: Journal) -> None:
    written("log.info('broker_connected', host='broker', port=8883)", journal.path)

    entry = journal.entry()

    assert (entry["PROMPTD_EVENT"], entry["PROMPTD_HOST"], entry["PROMPTD_PORT"]) == (
        "broker_connected",
        "broker",
        "8883",
    )


def test_the_message_is_the_line_that_is_written_without_a_journal(journal: Journal) -> None:
    written("log.info('happened', text='grüß', sizes=[1, 2])", journal.path)

    fields = json.loads(journal.entry()["MESSAGE"])

    assert (fields["event"], fields["level"], fields["text"], fields["sizes"]) == (
        "happened",
        "info",
        "grüß",
        [1, 2],
    )


@pytest.mark.parametrize(("level", "priority"), [("info", "6"), ("warning", "4"), ("error", "3")])
def test_the_level_of_a_line_is_its_priority(journal: Journal, level: str, priority: str) -> None:
    written(f"log.{level}('happened')", journal.path)

    entry = journal.entry()

    assert entry["PRIORITY"] == priority


def test_a_traceback_of_many_lines_stays_one_field(journal: Journal) -> None:
    written("try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed')", journal.path)

    entry = journal.entry()

    assert entry["PROMPTD_EXCEPTION"].splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_what_the_journal_has_taken_is_not_written_again(journal: Journal) -> None:
    errors = written("log.info('happened')", journal.path)

    entry = journal.entry()

    assert entry["SYSLOG_IDENTIFIER"] == "promptd"
    assert errors == ""


def test_without_a_journal_the_line_goes_to_standard_error_with_its_priority(tmp_path: Path) -> None:
    line = written("log.warning('happened')", tmp_path / "nobody")

    priority, rest = line[:3], line[3:]

    assert priority == "<4>"
    assert json.loads(rest)["event"] == "happened"


def test_a_line_that_is_too_long_for_a_datagram_goes_to_standard_error(journal: Journal) -> None:
    line = written("log.info('happened', text='x' * 10_000_000)", journal.path)

    fields = json.loads(line.removeprefix("<6>"))

    assert len(fields["text"]) == 10_000_000


@pytest.mark.parametrize(
    ("key", "name"),
    [("size_bytes", "PROMPTD_SIZE_BYTES"), ("a.b-c", "PROMPTD_A_B_C"), ("x" * 99, "PROMPTD_" + "X" * 56)],
)
def test_the_name_of_a_field_is_one_that_the_journal_takes(key: str, name: str) -> None:
    made = name_of(key)

    assert made == name
