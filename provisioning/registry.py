"""What the fleet is at this moment: devices, certificates, tokens, what was brought where. One SQLite file.

The inventory says what shall be, the registry what is. Commands and the provisioning service use it side by
side, so what is checked and then written belongs into one `changing()`.
"""

import contextlib
import errno
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, Self

from agent.host.sqlite_faults import is_damaged, may_pass, told
from agent.wire.errors import AgentError, ConfigError
from provisioning.registry_rows import Certificate, Device, Mark, Token, token_digest
from provisioning.roles import Role

SCHEMA = Path(__file__).with_name("schema")
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000")


class RegistryError(AgentError):
    """The registry refuses what would make two of one: a name, a serial or a certificate that it knows."""


class RegistryAwayError(AgentError):
    """The registry can be neither read nor written at the moment; nothing was changed."""


class Registry:
    """The one file; every thread and process may use it."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            RegistryAwayError: the disk is full or fails, or somebody holds the file; it may pass by itself.
            ConfigError: a person has to mend it.
        """
        self._path, self._lock = path, threading.RLock()
        try:
            with self._told():
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.touch(mode=0o600)
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                for pragma in PRAGMAS:
                    self._db.execute(f"PRAGMA {pragma}")
                self._upgrade()
        except (OSError, sqlite3.Error) as error:
            if getattr(error, "errno", None) in DISK_FAULTS:
                raise RegistryAwayError(
                    f"the registry {path} cannot be used: {error}; mend the disk"
                ) from error
            raise ConfigError(
                f"the registry {path} cannot be used ({error}); mend its rights, or bring a backup back"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Hold off every other writer: what is done inside is one step, or none on an exception."""
        with self._lock, self._told():
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise

    def add_device(self, device: Device) -> None:
        """Take a device in, or take a removed one back under its old name.

        Raises:
            RegistryError: the name, or the serial, belongs to another device.
        """
        with self.changing():
            known = self.device(device.name)
            is_member = known is not None and known.removed_s is None
            if (
                known
                and is_member
                and "" not in (known.serial, device.serial)
                and known.serial != device.serial
            ):
                raise RegistryError(
                    f"{device.name} is the box with serial {known.serial!r}, not {device.serial!r}; choose "
                    f"another name, or remove the old box first: promptd-fleet revoke {device.name}"
                )
            twin = self.device_by_serial(device.serial)
            if twin and twin.name != device.name:
                raise RegistryError(
                    f"serial {device.serial!r} belongs to {twin.name}; look at both boxes, then either mend "
                    f"the serial or remove the old one: promptd-fleet revoke {twin.name}"
                )
            serial = device.serial or (known.serial if known and is_member else "")
            row = astuple(replace(device, serial=serial))
            self._db.execute("INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?, ?, ?)", row)

    def device(self, name: str) -> Device | None:
        """Return the device of this name, also a removed one."""
        return next(self._devices("name = ?", name), None)

    def device_by_serial(self, serial: str) -> Device | None:
        """Return the device that belongs to the fleet with this serial; an empty serial is nobody's."""
        return next(self._devices("serial = ? AND serial != '' AND removed_s IS NULL", serial), None)

    def devices(self, origin: str = "") -> tuple[Device, ...]:
        """Return the devices that belong to the fleet, all or those that came one way, by name."""
        where = "removed_s IS NULL AND (? = '' OR origin = ?) ORDER BY name"
        return tuple(self._devices(where, origin, origin))

    def remove_device(self, name: str, now_s: float | None = None) -> None:
        """Note that a device left the fleet; its certificates are another matter."""
        with self.changing():
            self._db.execute("UPDATE device SET removed_s = ? WHERE name = ?", (_now(now_s), name))
            self.unmark(name)

    def add_certificate(self, certificate: Certificate) -> None:
        """Note a certificate that was handed out.

        Raises:
            RegistryError: its serial number was handed out before.
        """
        row = (*astuple(certificate)[:2], str(certificate.party), *astuple(certificate)[3:])
        try:
            with self.changing():
                self._db.execute("INSERT INTO certificate VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as error:
            raise RegistryError(
                f"the authority gave the serial number {certificate.number} twice; look into the authority"
            ) from error

    def certificate(self, number: str) -> Certificate | None:
        """Return the certificate with this serial number, hexadecimal."""
        return next(self._certificates("number = ?", number.lower()), None)

    def certificates(self, holder: str = "") -> tuple[Certificate, ...]:
        """Return all certificates, or those of one holder, in the order in which they were noted."""
        where = "(? = '' OR holder = ?) ORDER BY rowid"  # a clock may have been wrong
        return tuple(self._certificates(where, holder, holder))

    def good_certificate(self, holder: str, now_s: float | None = None) -> Certificate | None:
        """Return the certificate of a holder that lasts longest, if it has a good one."""
        good = [each for each in self.certificates(holder) if each.is_good(_now(now_s))]
        return max(good, key=lambda each: each.not_after_s, default=None)

    def revoked(self) -> tuple[Certificate, ...]:
        """Return what a revocation list must name."""
        return tuple(self._certificates("revoked_s IS NOT NULL ORDER BY number"))

    def revoke(self, holder: str, reason: str, now_s: float | None = None) -> tuple[Certificate, ...]:
        """Revoke every certificate of a holder and return them; a second time there are none.

        One that is over counts, too: nobody shall come back with it as the proof of who he was.
        """
        with self.changing():
            fresh = [each for each in self.certificates(holder) if each.revoked_s is None]
            for each in fresh:
                self._db.execute(
                    "UPDATE certificate SET revoked_s = ?, reason = ? WHERE number = ?",
                    (_now(now_s), reason, each.number),
                )
        return tuple(found for each in fresh if (found := self.certificate(each.number)))

    def enrolled(self, claim: str) -> int:
        """Return how many devices a claim has ever let in; those that left again count too."""
        return int(self._rows("SELECT count(*) FROM device WHERE origin = ?", (claim,))[0][0])

    def add_token(self, token: str, claim: str, expires_s: float, now_s: float | None = None) -> None:
        """Keep the digest of a new token."""
        row = (token_digest(token), claim, _now(now_s), expires_s)
        with self.changing():
            self._db.execute("INSERT INTO token (digest, claim, made_s, expires_s) VALUES (?, ?, ?, ?)", row)

    def token(self, token: str) -> Token | None:
        """Return what is known of a token."""
        rows = self._rows("SELECT * FROM token WHERE digest = ?", (token_digest(token),))
        return Token(*rows[0]) if rows else None

    def tokens(self, claim: str) -> tuple[Token, ...]:
        """Return the tokens of a claim, the oldest first."""
        rows = self._rows("SELECT * FROM token WHERE claim = ? ORDER BY made_s", (claim,))
        return tuple(Token(*row) for row in rows)

    def spend_token(self, token: str, claim: str, device: str, now_s: float | None = None) -> bool:
        """Use a token up; False when it is unknown, of another claim, over, or was used before."""
        now = _now(now_s)
        with self.changing():
            done = self._db.execute(
                "UPDATE token SET spent_s = ?, spent_by = ? "
                "WHERE digest = ? AND claim = ? AND spent_s IS NULL AND expires_s > ?",
                (now, device, token_digest(token), claim, now),
            )
        return done.rowcount == 1

    def mark(self, subject: str, step: str, digest: str, now_s: float | None = None) -> None:
        """Note that a step was done, and with what."""
        with self.changing():
            row = (subject, step, digest, _now(now_s))
            self._db.execute("INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?)", row)

    def marked(self, subject: str, step: str) -> str:
        """Return with what a step was done last; empty when it never was."""
        rows = self._rows("SELECT digest FROM mark WHERE subject = ? AND step = ?", (subject, step))
        return str(rows[0][0]) if rows else ""

    def marks(self) -> dict[tuple[str, str], Mark]:
        """Return every mark by subject and step."""
        rows = self._rows("SELECT subject, step, digest, done_s FROM mark", ())
        return {(subject, step): Mark(digest, done_s) for subject, step, digest, done_s in rows}

    def unmark(self, subject: str) -> None:
        """Forget what was brought to a subject, so that it is brought again."""
        with self.changing():
            self._db.execute("DELETE FROM mark WHERE subject = ?", (subject,))

    def _devices(self, where: str, *values: str) -> Iterator[Device]:
        rows = self._rows(f"SELECT * FROM device WHERE {where}", values)  # noqa: S608 -- our own words
        return (Device(*row) for row in rows)

    def _certificates(self, where: str, *values: str) -> Iterator[Certificate]:
        rows = self._rows(f"SELECT * FROM certificate WHERE {where}", values)  # noqa: S608 -- our own words
        return (_certificate(*row) for row in rows)

    def _rows(self, query: str, values: tuple[str, ...]) -> list[Any]:
        with self._lock, self._told():
            return self._db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what may pass by itself, and what will not, into a sentence."""
        try:
            yield
        except sqlite3.Error as error:
            if is_damaged(error):
                raise ConfigError(
                    f"the registry {self._path} is damaged ({error}); bring a backup back"
                ) from error
            if not may_pass(error):
                raise
            raise RegistryAwayError(f"the registry {self._path} cannot be used: {told(error)}") from error

    def _upgrade(self) -> None:
        """Run the steps that this file has not seen yet, each as one transaction."""
        steps = sorted(SCHEMA.glob("*.sql"), key=lambda step: int(step.stem))
        with self.changing():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > int(steps[-1].stem):
                raise ConfigError(
                    f"{self._path} is of a newer promptd-fleet (version {version}); install that one again"
                )
            for step in steps[version:]:
                for statement in step.read_text(encoding="utf-8").split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={step.stem}")


def _certificate(number: str, holder: str, party: str, *rest: Any) -> Certificate:  # noqa: ANN401 -- a row
    return Certificate(number, holder, Role(party), *rest)


def _now(now_s: float | None) -> float:
    return time.time() if now_s is None else now_s
