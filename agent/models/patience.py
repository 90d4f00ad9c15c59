"""When a broken transfer is tried again: soon, then later, and for as long as it still brings bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how soon something is tried again; every byte gained begins the count anew."""

    attempts: int = 6
    initial_s: float = 1
    max_s: float = 30

    def keep_trying(
        self,
        call: Callable[[], Got],
        is_passing: Callable[[BaseException], bool],
        growing: Path | None = None,
    ) -> Got:
        """Return what `call` returns; its last error is raised when it stays broken or is not a passing one.

        `growing` is the file that the call adds to.
        """
        wait = wait_random_exponential(multiplier=self.initial_s, max=self.max_s)
        stop = _Stuck(growing, self.attempts)
        return Retrying(stop=stop, wait=wait, retry=retry_if_exception(is_passing), reraise=True)(call)


class _Stuck:
    """Counts the attempts that brought nothing."""

    def __init__(self, growing: Path | None, attempts: int) -> None:
        self._growing = growing
        self._attempts = attempts
        self._fruitless = 0
        self._size_bytes = self._look()

    def __call__(self, _state: RetryCallState) -> bool:
        size_bytes = self._look()
        self._fruitless = 1 if size_bytes > self._size_bytes else self._fruitless + 1
        self._size_bytes = max(size_bytes, self._size_bytes)
        return self._fruitless >= self._attempts

    def _look(self) -> int:
        return self._growing.stat().st_size if self._growing and self._growing.is_file() else 0
