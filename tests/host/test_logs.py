"""How log lines look, read from a process that writes some."""

import json
import subprocess
import sys

PROGRAM = """
import structlog
from agent.host import logs
from agent.settings import LogSettings
logs.configure(LogSettings(format={format!r}, level={level!r}))
log = structlog.get_logger("promptd.test")
log.debug("whispered")
log.warning("happened", size_bytes=7, text="gr\\u00fc\\u00df")
"""


def _lines(log_format: str = "auto", level: str = "info") -> list[str]:
    """Return what is written to a standard error that is no terminal."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(format=log_format, level=level)],
        capture_output=True,
        check=True,
        timeout=30,
    )
    return done.stderr.decode().splitlines()


def test_a_line_is_one_json_object_without_a_terminal() -> None:
    (line,) = _lines()

    fields = json.loads(line)

    assert (fields["event"], fields["level"], fields["size_bytes"]) == ("happened", "warning", 7)
    assert fields["timestamp"].endswith("Z")
    assert fields["text"] == "grüß"


def test_the_level_decides_what_is_written() -> None:
    counts = [len(_lines(level=level)) for level in ("debug", "warning", "error")]

    assert counts == [2, 1, 0]


def test_a_terminal_gets_text_for_people() -> None:
    (line,) = _lines(log_format="console")

    is_json = line.startswith("{")

    assert not is_json
    assert "happened" in line


def test_a_reader_that_has_gone_away_does_not_end_the_writer() -> None:
    program = (
        "import os, sys; r, w = os.pipe(); os.dup2(w, 2); os.close(w); os.close(r);"
        "import structlog; from agent.host import logs; from agent.settings import LogSettings;"
        "logs.configure(LogSettings()); structlog.get_logger().info('into the void'); print('alive')"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.stdout == "alive\n"
