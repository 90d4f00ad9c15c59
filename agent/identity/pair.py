"""The keys and certificates of this box on its disk: after a power cut at any moment there is a valid pair.

A pair is written whole into a folder of its own before anything points to it; `current` and `next` are links
that change by one rename each. What was torn half-way is never chosen, and goes with the next promotion.
"""

import contextlib
import datetime as dt
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from agent.host.durable import replace_durably, sync_folder
from agent.wire.errors import AgentError, ConfigError

if TYPE_CHECKING:
    from agent.identity.pem import Leaf

LOG = structlog.get_logger("promptd.identity")

PAIRS, CURRENT, NEXT = "pairs", "current", "next"
NEVER_ASK = ""
"""An encrypted key is of no use here; without a password OpenSSL would ask the terminal for one."""
KEY, CERTIFICATE, AUTHORITIES = "key.pem", "cert.pem", "ca.pem"


@dataclass(frozen=True)
class Pair:
    """One key with its certificate, and whom to trust as the broker's authority; read when it is asked."""

    folder: Path

    @property
    def cert_file(self) -> Path:
        """The certificate with the chain that leads to the root, PEM."""
        return self.folder / CERTIFICATE

    @property
    def key_file(self) -> Path:
        """The private key, PKCS #8, PEM; for its owner alone."""
        return self.folder / KEY

    @property
    def ca_file(self) -> Path:
        """The authorities of the broker, PEM."""
        return self.folder / AUTHORITIES

    @property
    def number(self) -> int:
        """The place of this pair in the life of the box, from 1."""
        return int(self.folder.name)

    @property
    def name(self) -> str:
        """The name in the certificate: the device id."""
        return self._leaf.name

    @property
    def serial_number(self) -> int:
        """What its authority calls the certificate."""
        return self._leaf.number

    @property
    def not_before(self) -> dt.datetime:
        """From when on the certificate is valid, UTC."""
        return self._leaf.not_before

    @property
    def not_after(self) -> dt.datetime:
        """Until when the certificate is valid, UTC."""
        return self._leaf.not_after

    @property
    def is_sound(self) -> bool:
        """Whether a link can be begun with it: all is there, and the certificate is made for the key."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.load_cert_chain(self.cert_file, self.key_file, password=NEVER_ASK)
        except (OSError, ValueError):
            return False
        return True

    def is_valid(self, now: dt.datetime) -> bool:
        """Tell whether the clock stands within the life of the certificate."""
        return self.not_before <= now < self.not_after

    @cached_property
    def _leaf(self) -> "Leaf":
        from agent.identity import pem  # noqa: PLC0415 -- 10 MB that a box without an identity does not pay

        return pem.leaf(self.cert_file.read_bytes())


class Pairs:
    """All pairs below one folder; one process at a time changes them (the lock of the state folder)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def current(self) -> Pair | None:
        """The pair in use; None as long as none was promoted.

        If its files were damaged, the newest one that is sound takes its place.
        """
        linked = self._linked(CURRENT)
        if linked is None or linked.is_sound:
            return linked
        LOG.error(
            "pair_damaged", folder=str(linked.folder), hint="an older certificate is used, if there is one"
        )
        return next((pair for pair in self._newest_first() if pair.is_sound), None)

    @property
    def next(self) -> Pair | None:
        """The pair that is being tried; None when none is, or when it is torn."""
        linked = self._linked(NEXT)
        is_untried = linked is not None and linked != self._linked(CURRENT)
        return linked if is_untried and linked and linked.is_sound else None

    @property
    def valid(self) -> Pair | None:
        """The pair in use if the clock stands within its life."""
        pair = self.current
        return pair if pair and pair.is_valid(dt.datetime.now(dt.UTC)) else None

    def add(self, key_pem: bytes, chain_pem: bytes, authorities_pem: bytes) -> Pair:
        """Write a new pair that nothing points to yet; it is on the disk when this returns.

        Raises:
            AgentError: the three do not belong together.
            ConfigError: they cannot be written.
        """
        from agent.identity import pem  # noqa: PLC0415 -- as above

        if fault := pem.fault(key_pem, chain_pem, authorities_pem):
            raise AgentError(f"what was handed out makes no pair: {fault}; ask again")
        numbers = [pair.number for pair in self._newest_first()]
        pair = Pair(self._folder / PAIRS / str(max(numbers, default=0) + 1))
        with self._writing():
            self._make_folders(pair.folder)
            replace_durably(pair.key_file, key_pem)
            replace_durably(pair.ca_file, authorities_pem)
            replace_durably(pair.cert_file, chain_pem)
        if not pair.is_sound:
            raise AgentError(
                "what was handed out makes no pair that TLS accepts here; use EC P-256 or stronger"
            )
        return pair

    def try_next(self, pair: Pair) -> None:
        """Note that this pair is being tried, so that a box that loses its power tries it again."""
        with self._writing():
            self._link(NEXT, pair)

    def promote(self, pair: Pair) -> None:
        """Make this pair the one in use; of the others only the one before it is kept."""
        before = self.current
        with self._writing():
            self._link(CURRENT, pair)
            self._unlink(NEXT)
            for older in self._newest_first():
                if older.number < pair.number and older != before:
                    shutil.rmtree(older.folder, ignore_errors=True)

    def give_up(self, pair: Pair) -> None:
        """Forget a pair that was tried in vain."""
        with self._writing():
            self._unlink(NEXT)
            if pair != self._linked(CURRENT):
                shutil.rmtree(pair.folder, ignore_errors=True)

    def _newest_first(self) -> list[Pair]:
        folder = self._folder / PAIRS
        found = [Pair(one) for one in folder.iterdir() if one.name.isdecimal()] if folder.is_dir() else []
        return sorted(found, key=lambda pair: pair.number, reverse=True)

    def _linked(self, name: str) -> Pair | None:
        try:
            target = (self._folder / name).readlink().name
        except OSError:
            return None
        return Pair(self._folder / PAIRS / target) if target.isdecimal() else None

    def _link(self, name: str, pair: Pair) -> None:
        beside = self._folder / f".{name}.new"
        beside.unlink(missing_ok=True)
        beside.symlink_to(Path(PAIRS) / pair.folder.name)
        beside.replace(self._folder / name)
        sync_folder(self._folder)

    def _unlink(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        sync_folder(self._folder)

    def _make_folders(self, folder: Path) -> None:
        """Make the folders down to a pair, each for its owner alone, and bring their names to the disk."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        for one in (self._folder, folder.parent, folder):
            one.mkdir(mode=0o700, exist_ok=True)
            sync_folder(one.parent)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"cannot write {error.filename or self._folder}: {error.strerror}; check identity.folder"
            ) from error
