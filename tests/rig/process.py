"""A child process whose standard error is read line by line, so that tests wait for words instead of time."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

PATIENCE_S = 30.0


class Child:
    """Started at once; ended by its own process id."""

    def __init__(self, command: Sequence[str], extra: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._has_ended = False
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**_plain_environment(), **(extra or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for_line(self, is_wanted: Callable[[str], bool], timeout_s: float = PATIENCE_S) -> str:
        """Return the first line that is wanted; fail when the process ends without it."""

        def found() -> str | None:
            return next(filter(is_wanted, self.lines), None)

        with self._news:
            self._news.wait_for(lambda: found() is not None or self._has_ended, timeout_s)
            line = found()
        assert line is not None, "\n".join(["the line did not come; these did:", *self.lines])
        return line

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to this process and to nobody else."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def end(self) -> None:
        """End the process, politely first."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for raw in stream:
                with self._news:
                    self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()


def _plain_environment() -> dict[str, str]:
    """Return the environment without settings of a promptd that somebody else runs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PROMPTD_")}
