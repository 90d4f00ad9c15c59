"""One process at a time: a second agent in one state folder would answer prompts twice."""

from pathlib import Path
from typing import IO

from agent.wire.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows has no flock; two agents there are kept apart by the broker alone
    fcntl = None  # type: ignore[assignment]  # its absence is the information


def hold(path: Path, *, waits: bool = False) -> IO[str]:
    """Take the lock, or wait for it, and keep it as long as the returned file stays open.

    Raises:
        ConfigError: another process holds it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; check state_dir") from error
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except OSError as error:
        file.close()
        raise ConfigError(
            f"another promptd uses {path.parent}; stop it, or give this one its own state_dir"
        ) from error
    return file
