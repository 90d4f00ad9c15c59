"""Opens the files of a model: regular ones only, never a pipe that nobody fills or a device."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from agent.wire.errors import ModelError

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A pipe that takes the file's place at the last moment is opened without waiting for its writer."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        ModelError: it is a folder, a pipe, a socket or a device.
        OSError: it cannot be opened.
    """
    _refuse_special(path, path.stat())
    handle = os.open(path, _FLAGS)
    try:
        _refuse_special(path, os.fstat(handle))
    except ModelError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def refuse_stranger(path: Path, folder: Path) -> None:
    """Check that a file of a model's folder is a regular one and lies in it.

    Raises:
        ModelError: it is a pipe, a socket or a device, or a link that leaves the folder.
        OSError: it cannot be looked at.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"{path} is a link that leaves {folder}; copy the file into the folder")
    _refuse_special(path, path.stat())


def distrusted(path: Path, sentence: str) -> ModelError:
    """Return the error for a file whose content is wrong; `sentence` goes on after its path."""
    return ModelError(f"{path} {sentence}; get the file again from a source you trust")


def _refuse_special(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ModelError(f"{path} is not a regular file; put the file itself there")
