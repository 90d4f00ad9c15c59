"""The payloads of enrolment and renewal: a request for a certificate, and the verdicts on it.

The private key is made on the device and never leaves it; only the request (PKCS #10) travels.
"""

import hashlib

from pydantic import BaseModel, ConfigDict, Field

NOT_ACCEPTED = "does not accept our certificate"
"""In the reason of a link that a broker has refused by an alert of TLS; the name of the alert follows."""
REVOKED = "certificate revoked"
"""The name of such an alert (RFC 8446, section 6.2)."""
MAX_REQUEST_BYTES = 16_384
MAX_PEM_CHARACTERS = 8_192
MAX_SERIAL_CHARACTERS = 128
MAX_TOKEN_CHARACTERS = 256


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Proof(_Payload):
    """That whoever asks again still holds the old key, though its certificate may have expired."""

    certificate: str = Field(max_length=MAX_PEM_CHARACTERS)
    """The old certificate, PEM."""
    signature: str = Field(max_length=MAX_TOKEN_CHARACTERS)
    """Of the old key (ECDSA, SHA-256) over the new request in DER, base64."""


class CertificateRequest(_Payload):
    """What a device asks with: `enrol/CLAIM/REQUEST/request`, or `device/DEVICE/certificate/request`."""

    request: str = Field(max_length=MAX_PEM_CHARACTERS)
    """PKCS #10, PEM."""
    agent: str = Field(default="", max_length=64)
    """The version of promptd that asks."""
    serial: str = Field(default="", max_length=MAX_SERIAL_CHARACTERS)
    """Which box this is; only enrolment needs it."""
    token: str = Field(default="", max_length=MAX_TOKEN_CHARACTERS)
    """A one-time token, where the claim demands one."""
    proof: Proof | None = None


class Verdict(_Payload):
    """One step of the judgement."""

    step: str
    passed: bool
    reason: str = ""
    """Why not, and what to do; empty when it passed."""


def digest_of(payload: bytes) -> str:
    """Return what a reply calls the request that it answers."""
    return hashlib.sha256(payload).hexdigest()


class CertificateReply(_Payload):
    """What became of a request: all verdicts up to the first that failed, and what was handed out."""

    accepted: bool
    request: str = ""
    """SHA-256 of the payload that is answered, hexadecimal. Boxes of one claim hear each other's replies and
    could ask in each other's place; only the box itself and the service know what it has sent."""
    verdicts: tuple[Verdict, ...] = ()
    certificate: str = ""
    """The certificate with the chain that leads to the root, PEM."""
    authorities: str = ""
    """Whom the device shall trust as its broker's authorities, PEM."""
    settings: str = ""
    """The settings of this device, TOML; they lie between the box's own file and its PROMPTD_ variables."""
    name: str = Field(default="", max_length=64)
    """What the request must be made for, when it was refused because it is made for something else."""
    retry_after_s: float | None = None
    """When asking again may help; None when a person must act first."""
