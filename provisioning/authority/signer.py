"""What every authority does, whoever it is; and the checks that hold for all of them.

Of a request only the key is taken. What it wishes beside that is never trusted: the caller knows the name.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.wire.topics import IDENTIFIER
from provisioning.authority.errors import AuthorityError, RequestRefusedError
from provisioning.roles import Role

CURVES = ("secp256r1", "secp384r1")
SMALLEST_RSA_BITS = 2048

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a certificate is made for."""

    name: str
    """The common name, which the broker takes for the user name."""
    role: Role
    alternative_names: tuple[str, ...] = ()
    """Host names and addresses; a broker needs them, the others have none."""

    def __post_init__(self) -> None:
        """Refuse what could be taken for an option of a command, or for nothing.

        Raises:
            RequestRefusedError: the name is no identifier, or a broker has no alternative names.
        """
        if not IDENTIFIER.fullmatch(self.name) or self.name.startswith("-"):
            raise RequestRefusedError(
                f"{self.name!r} cannot stand in a certificate; it takes letters, digits, '_', '.' and '-'"
            )
        if self.role is Role.BROKER and not self.alternative_names:
            raise RequestRefusedError("a broker's certificate needs the host names that devices connect to")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was signed, with the chain that leads to the root but without the root."""

    certificate: x509.Certificate
    chain_pem: str

    @classmethod
    def of(cls, chain: Iterable[x509.Certificate]) -> Self:
        """Take the certificate and those that follow it."""
        members = list(chain)
        return cls(members[0], "".join(one.public_bytes(Encoding.PEM).decode() for one in members))

    @property
    def serial_number(self) -> int:
        """What the authority calls it."""
        return self.certificate.serial_number

    @property
    def not_before(self) -> dt.datetime:
        """From when on it is valid, UTC."""
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> dt.datetime:
        """Until when it is valid, UTC."""
        return self.certificate.not_valid_after_utc


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that counts no more."""

    serial_number: int
    at: dt.datetime


class Signer(Protocol):
    """An authority."""

    @property
    def authorities(self) -> str:
        """Whom devices shall trust, PEM.

        Raises:
            AuthorityError: an authority elsewhere does not tell.
        """
        ...

    def sign(self, request: x509.CertificateSigningRequest, subject: Subject, days: float) -> Issued:
        """Sign the key of a request for this subject; an authority elsewhere may decide the days itself.

        Raises:
            RequestRefusedError: the key is too weak or of an unknown kind, or has not signed the request.
            AuthorityError: the authority cannot be used at the moment, or gave something else.
        """
        ...

    def revocation_list(self, revoked: Iterable[Revoked], days: float) -> str:
        """Return the list (CRL, PEM) that a broker refuses by; it is good for so many days.

        Raises:
            AuthorityError: this authority keeps its list itself.
        """
        ...


def agreed_key(request: x509.CertificateSigningRequest) -> PublicKey:
    """Return the key of a request.

    Raises:
        RequestRefusedError: it is too weak or of an unknown kind, or has not signed the request.
    """
    try:
        key = request.public_key()
        is_signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RequestRefusedError(
            "the key of the request is of a kind that is not signed here; use EC P-256"
        ) from error
    if not is_signed:
        raise RequestRefusedError("the request is not signed by its own key; make a new one")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= SMALLEST_RSA_BITS:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise RequestRefusedError(
        "the key of the request is too weak; use EC P-256 or P-384, Ed25519, or RSA with 2048 bits or more"
    )


def checked(issued: Issued, request: x509.CertificateSigningRequest, subject: Subject) -> Issued:
    """Return what an authority elsewhere gave, if it is what was asked for.

    Raises:
        AuthorityError: it is made for another key or name, for another purpose, or not valid now.
    """
    if fault := _fault(issued.certificate, agreed_key(request), subject):
        raise AuthorityError(
            f"the authority gave a certificate for {subject.name} that {fault}; mend its rules"
        )
    return issued


def _fault(certificate: x509.Certificate, key: PublicKey, subject: Subject) -> str:
    name = common_name(certificate)
    missing = set(subject.alternative_names) - _alternative_names(certificate)
    faults = (
        (_encoded(certificate.public_key()) != _encoded(key), "is made for another key"),
        (name != subject.name, f"is made for {name!r}"),
        (_is_authority(certificate), "is one of an authority"),
        (not _serves(certificate, subject.role), f"cannot be used by a {subject.role}"),
        (bool(missing), f"lacks the names {', '.join(sorted(missing))}"),
        (not _is_valid(certificate), "is not valid now"),
    )
    return next((words for is_wrong, words in faults if is_wrong), "")


def common_name(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """Return the common name of the subject; empty when it has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def purpose(role: Role) -> x509.ObjectIdentifier:
    """Return the extended key usage of a role."""
    return ExtendedKeyUsageOID.SERVER_AUTH if role is Role.BROKER else ExtendedKeyUsageOID.CLIENT_AUTH


def _serves(certificate: x509.Certificate, role: Role) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return purpose(role) in usage


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _alternative_names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))


def _is_valid(certificate: x509.Certificate) -> bool:
    now = dt.datetime.now(dt.UTC)
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def key_digest(key: object) -> str:
    """Return the SHA-256 of a public key (DER), hexadecimal: whose request it is, however often it comes."""
    return hashlib.sha256(_encoded(key)).hexdigest()


def _encoded(key: object) -> bytes:
    assert hasattr(key, "public_bytes")  # noqa: S101 -- every public key of the library has it
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded
