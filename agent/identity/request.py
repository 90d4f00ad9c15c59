"""The request for a certificate. Its key is made here, never leaves, and waits on the disk for its answer."""

import base64
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from agent.host.durable import replace_durably
from agent.identity import pem
from agent.identity.pair import Pair, Pairs
from agent.settings import Settings
from agent.wire.certificates import CertificateReply, Proof
from agent.wire.errors import AgentError, ConfigError

REQUEST = "request"
KEY, ASKED = "key.pem", "request.pem"


class Pending:
    """The request that waits in `request/` below the folder of the identity.

    It is kept across restarts: a service that is asked twice with one key gives the same answer twice.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        """Take the folder of the identity and the name to ask for; without one the service decides it."""
        self._identity = folder
        self._folder = folder / REQUEST
        self._name = name

    def pem(self) -> str:
        """Return the request (PKCS #10, PEM), made now unless one waits.

        Raises:
            ConfigError: it cannot be written.
        """
        with contextlib.suppress(OSError):
            asked = self._asked.read_bytes()
            if pem.belongs(asked, self._key.read_bytes(), self._name):
                return asked.decode()
        key = pem.new_key()
        asked = pem.new_request(key, self._name)
        try:
            self._identity.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._asked.unlink(missing_ok=True)
            replace_durably(self._key, key)
            replace_durably(self._asked, asked)
        except OSError as error:
            raise ConfigError(
                f"cannot write {self._folder}: {error.strerror}; check identity.folder"
            ) from error
        return asked.decode()

    def proof(self, old: Pair | None) -> Proof | None:
        """Return that whoever asks still holds the key of an old pair; None where there is no old pair.

        Raises:
            ConfigError: as `pem`.
        """
        if old is None:
            return None
        signature = pem.signature(old.key_file.read_bytes(), self.pem().encode())
        return Proof(
            certificate=pem.first_certificate(old.cert_file.read_bytes()).decode(),
            signature=base64.b64encode(signature).decode(),
        )

    def receive(self, pairs: Pairs, certificate: str, authorities: str) -> Pair:
        """Write what was handed out for this request as a new pair; nothing points to it yet.

        Raises:
            AgentError: the certificate is not made for the key of this request, or cannot be read.
            ConfigError: it cannot be written.
        """
        try:
            key = self._key.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {self._key}: {error.strerror}; check identity.folder") from error
        return pairs.add(key, certificate.encode(), authorities.encode())

    def accept(
        self, pairs: Pairs, reply: CertificateReply, keep_settings: Callable[[str], Settings], advice: str
    ) -> Pair:
        """Keep what was handed out, the settings first: only the pair makes a box believe that it has a name.

        `advice` says what to do where the settings of this box name another device.

        Raises:
            AgentError: certificate or settings cannot be used; the pair of before is in use.
        """
        fresh = self.receive(pairs, reply.certificate, reply.authorities)
        try:
            kept = keep_settings(reply.settings)
            if kept.device_id != fresh.name:
                raise ConfigError(
                    f"the certificate is made for {fresh.name!r}, but the settings say device_id = "
                    f"{kept.device_id!r}; {advice}"
                )
            pairs.promote(fresh)
        except AgentError:
            pairs.give_up(fresh)
            raise
        self.forget()
        return fresh

    @property
    def is_waiting(self) -> bool:
        """Whether somebody has asked, in this life or before, and was not answered."""
        return self._asked.is_file()

    def forget(self) -> None:
        """Remove key and request: they were answered, or their certificate turned out to be of no use."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _key(self) -> Path:
        return self._folder / KEY

    @property
    def _asked(self) -> Path:
        return self._folder / ASKED
