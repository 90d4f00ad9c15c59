"""What the registry knows, one record a row."""

import hashlib
from dataclasses import dataclass

from provisioning.roles import Role

INVENTORY = "inventory"
"""The origin of a device that the inventory names; every other origin is the name of a claim."""


@dataclass(frozen=True, slots=True)
class Device:
    """One box that belongs, or belonged, to the fleet."""

    name: str
    serial: str
    group: str
    origin: str
    registered_s: float
    removed_s: float | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate that was handed out."""

    number: str
    """Its serial number, hexadecimal, lower case."""
    holder: str
    """Its common name, which is the MQTT user."""
    party: Role
    not_before_s: float
    not_after_s: float
    key_digest: str
    """SHA-256 of the public key (DER), hexadecimal."""
    pem: str
    issued_s: float
    revoked_s: float | None = None
    reason: str = ""

    def is_good(self, now_s: float) -> bool:
        """Tell whether it was not revoked and is not over."""
        return self.revoked_s is None and now_s < self.not_after_s


@dataclass(frozen=True, slots=True)
class Token:
    """A one-time token; only its digest is kept."""

    digest: str
    claim: str
    made_s: float
    expires_s: float
    spent_s: float | None = None
    spent_by: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """With what a step was done last, and when."""

    digest: str
    done_s: float


def token_digest(token: str) -> str:
    """Return what the registry keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
