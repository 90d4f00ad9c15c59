"""Writes the files of the fleet: whole after a power cut, and a disk that takes nothing is a sentence."""

from pathlib import Path

from agent.host.durable import replace_durably
from agent.wire.errors import AgentError


class NotWrittenError(AgentError):
    """A file cannot be written; what was there before is still there."""


def write(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file, or make it and its folders.

    Raises:
        NotWrittenError: the disk is full or fails, or the folder is closed to us.
    """
    try:
        replace_durably(file, content, mode)
    except OSError as error:
        raise NotWrittenError(
            f"cannot write {file}: {error.strerror}; make room on its disk, or mend its rights"
        ) from error
