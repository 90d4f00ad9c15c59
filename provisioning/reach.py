"""How a machine is reached: by the system's own ssh, with its keys, agent and configuration; or this one."""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.wire.errors import AgentError
from provisioning.inventory import Ssh

CANNOT_CONNECT = 255
"""What ssh ends with when it never got there (ssh(1), exit status)."""
SHOWN_CHARACTERS = 300


class ReachError(AgentError):
    """A machine cannot be reached, or a command failed there."""


@dataclass(frozen=True, slots=True)
class Reach:
    """One machine; an empty address is this one."""

    ssh: Ssh
    address: str

    def run(self, script: str, sent: bytes = b"") -> bytes:
        """Run a shell script there with `sent` as its standard input, and return its standard output.

        Raises:
            ReachError: the machine is away, or the script failed; the message has its last words.
        """
        try:
            done = subprocess.run(  # noqa: S603 -- the words are the inventory's and ours
                self._words(script), input=sent, capture_output=True, timeout=self.ssh.timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ReachError(
                f"{self._name} did not finish within {self.ssh.timeout_s:g} s; or raise ssh.timeout_s"
            ) from error
        except OSError as error:
            raise ReachError(
                f"cannot start {self.ssh.command!r}: {error.strerror}; check ssh.command"
            ) from error
        if done.returncode:
            raise ReachError(self._failure(done.returncode, _last_words(done.stderr or done.stdout)))
        return done.stdout

    @property
    def _name(self) -> str:
        return self.address or "this machine"

    def _words(self, script: str) -> Sequence[str]:
        if not self.address:
            return ("sh", "-c", script)
        where = urlsplit(f"ssh://{self.address}")
        options = [word for option in self.ssh.options for word in ("-o", option)]
        port = ["-p", str(where.port)] if where.port else []
        user = ["-l", where.username] if where.username else []
        wanted = f"{self.ssh.sudo} sh -c {shlex.quote(script)}" if self.ssh.sudo else script
        return (*shlex.split(self.ssh.command), *options, *port, *user, "--", where.hostname or "", wanted)

    def _failure(self, code: int, words: str) -> str:
        if self.address and code == CANNOT_CONNECT:
            return f"{self.address} cannot be reached ({words}); try: ssh {self.address}"
        return f"on {self._name}: {words or f'the command ended with {code}'}"


def _last_words(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:SHOWN_CHARACTERS] if lines else ""
