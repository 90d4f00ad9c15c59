"""How log lines look: JSON, one object a line, or text on a terminal. The journal gets fields. No prompts."""

import contextlib
import logging
import sys
from typing import Any

import structlog

from agent.host import journal, systemd
from agent.settings import LogSettings


def configure(settings: LogSettings) -> None:
    """Set up structlog for this process."""
    is_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if is_json and systemd.is_under_journal():
        processors.append(journal.ToJournal(journal.SOCKET))
    elif is_json:
        processors.append(structlog.processors.JSONRenderer(ensure_ascii=False))
    else:
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.level.upper()]
        ),
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=False,
    )


class _Lines:
    """Writes lines to standard error; a reader that has gone away must not take the agent with it."""

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg
