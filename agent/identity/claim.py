"""What lets a box of a batch ask for its first certificate: a claim certificate, perhaps a one-time token."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from agent.settings import BrokerSettings, IdentitySettings
from agent.wire.access import CLAIM_PREFIX
from agent.wire.errors import ConfigError

CERTIFICATE, KEY, TOKEN = "promptd_claim.pem", "promptd_claim.key", "promptd_token"
"""How systemd calls the files of /etc/promptd/credentials when it hands that folder over as the credential
`promptd` (systemd.exec(5), LoadCredential=)."""
TLS_SCHEMES = ("mqtts", "wss")


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim that lies on this box."""

    name: str
    """Its user name at the broker: the common name of its certificate."""
    cert_file: Path
    key_file: Path
    token: str
    not_after: dt.datetime

    def trouble(self, now: dt.datetime) -> str:
        """Return why a broker will not let this claim in; empty when it may."""
        if now < self.not_after:
            return ""
        until = self.not_after.date().isoformat()
        return f"the claim certificate was good until {until}; give this box another one, or set its clock"

    def broker(self, settings: BrokerSettings) -> BrokerSettings:
        """Return how to reach the broker with this claim.

        Raises:
            ConfigError: the broker is not spoken to over TLS, where certificates are shown.
        """
        if settings.scheme not in TLS_SCHEMES:
            raise ConfigError(
                f"broker.url is {settings.url}, but a claim certificate is only shown over TLS; write mqtts://"
            )
        login = {
            "cert_file": self.cert_file,
            "key_file": self.key_file,
            "username": "",
            "password_file": None,
        }
        return settings.model_copy(update=login)


def find_claim(settings: IdentitySettings, credentials: Path | None) -> Claim | None:
    """Return the claim that the settings name, else the one among systemd's `credentials`; None without one.

    Raises:
        ConfigError: there is one, and it cannot be used.
    """
    cert_file, key_file, token_file = (
        settings.claim_cert_file,
        settings.claim_key_file,
        settings.token_file or _existing(credentials, TOKEN),
    )
    if cert_file is None and key_file is None:
        cert_file, key_file = _existing(credentials, CERTIFICATE), _existing(credentials, KEY)
        if cert_file is None:
            return None
    if cert_file is None or key_file is None:
        raise ConfigError(
            "a claim is a certificate and its key; set identity.claim_cert_file and claim_key_file"
        )
    name, not_after = _read_certificate(cert_file)
    return Claim(name, cert_file, key_file, _read_token(token_file), not_after)


def _existing(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder and (folder / name).is_file() else None


def _read_certificate(file: Path) -> tuple[str, dt.datetime]:
    """Return the user name of a claim, and until when it is good."""
    from agent.identity import pem  # noqa: PLC0415 -- 10 MB that a box without a claim does not pay

    try:
        leaf = pem.leaf(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read the claim certificate {file}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(
            f"{file} holds no certificate in PEM format; copy the claim onto this box again"
        ) from error
    if not leaf.name.startswith(CLAIM_PREFIX):
        raise ConfigError(
            f"{file} is made for {leaf.name!r} and no claim: a claim's name begins with {CLAIM_PREFIX!r}"
        )
    return leaf.name, leaf.not_after


def _read_token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"identity.token_file cannot be read as text: {error}") from error
