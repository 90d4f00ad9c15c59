"""How log lines look: one JSON object a line under systemd, readable text on a terminal. Never a prompt."""

import contextlib
import logging
import sys
from typing import Any

import structlog

from agent.host import systemd
from agent.settings import LogSettings

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure(settings: LogSettings) -> None:
    """Set up structlog for this process."""
    is_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if is_json:
        processors.append(structlog.processors.JSONRenderer(ensure_ascii=False))
        if systemd.is_under_journal():
            processors.append(_Prefix())
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


class _Prefix:
    """Gives the journal each line's priority (sd-daemon(3))."""

    def __call__(self, _logger: object, method: str, line: str) -> str:
        return f"<{PRIORITIES.get(method, 6)}>{line}"
