"""Private keys of the operator's side, and the files they lie in."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from agent.identity import pem
from provisioning.authority.errors import AuthorityError
from provisioning.authority.passphrase import Passphrase
from provisioning.authority.profile import SigningKey
from provisioning.authority.signer import Issued, Signer, Subject


@dataclass(frozen=True, slots=True)
class Made:
    """A key that was made here, for a member that cannot make its own, with its certificate."""

    key_pem: str
    """PKCS #8, not encrypted: for a broker, a client, a claim."""
    issued: Issued


def make(signer: Signer, subject: Subject, days: float) -> Made:
    """Make a key and have it signed.

    Raises:
        AuthorityError: as `Signer.sign`.
    """
    key_pem = pem.new_key()
    request = x509.load_pem_x509_csr(pem.new_request(key_pem, subject.name))
    return Made(key_pem.decode(), signer.sign(request, subject, days))


def encrypted(key: ec.EllipticCurvePrivateKey, passphrase: bytes) -> bytes:
    """Return the key as PKCS #8, PEM, encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))


def read_certificates(file: Path) -> list[x509.Certificate]:
    """Return the certificates of a file, in their order.

    Raises:
        AuthorityError: it cannot be read, or holds none.
    """
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        raise AuthorityError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise AuthorityError(f"{file} holds no certificate in PEM format") from error


def open_key(file: Path, passphrase: Passphrase) -> SigningKey:
    """Return the key of a file; a passphrase is asked for only if it is encrypted.

    Raises:
        AuthorityError: it cannot be read, the passphrase is wrong, or it is of a kind that cannot sign.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise AuthorityError(f"cannot read {file}: {error.strerror}") from error
    try:
        key = serialization.load_pem_private_key(content, passphrase() if b"ENCRYPTED" in content else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise AuthorityError(f"{file} cannot be opened; is its passphrase right, and is it a key?") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        raise AuthorityError(f"the key in {file} cannot sign certificates; use EC, Ed25519 or RSA")
    return key
