"""What stands in keys, certificates and requests: the one file of the agent that needs `cryptography`.

Nothing imports it before it is needed: it costs 10 MB, which a box without an identity does not pay.
"""

import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)
"""How the library says that something is no PEM, or of no kind that it knows."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a certificate says of its holder."""

    name: str
    """Its common name, the user name at the broker."""
    number: int
    """Its serial number."""
    not_before: dt.datetime
    not_after: dt.datetime


def leaf(chain_pem: bytes) -> Leaf:
    """Return what the first certificate of a chain says.

    Raises:
        ValueError: there is none.
    """
    certificate = x509.load_pem_x509_certificates(chain_pem)[0]
    return Leaf(
        _common_name(certificate.subject),
        certificate.serial_number,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def fault(key_pem: bytes, chain_pem: bytes, authorities_pem: bytes) -> str:
    """Return why these three make no pair; empty when they do."""
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except UNREADABLE:
        return "the key cannot be read"
    try:
        certificate = x509.load_pem_x509_certificates(chain_pem)[0]
        shown = _public(certificate.public_key())
    except UNREADABLE:
        return "the certificate cannot be read"
    try:
        x509.load_pem_x509_certificates(authorities_pem)
    except UNREADABLE:
        return "the certificates of the authorities cannot be read"
    return "" if shown == _public(key.public_key()) else "the certificate is made for another key"


def new_key() -> bytes:
    """Return a new private key (EC P-256), PKCS #8, PEM, not encrypted: the mode of its file protects it."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_request(key_pem: bytes, name: str) -> bytes:
    """Return a request (PKCS #10, PEM) for this name; without a name it has no subject."""
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    return builder.sign(_own_key(key_pem), hashes.SHA256()).public_bytes(Encoding.PEM)


def belongs(request_pem: bytes, key_pem: bytes, name: str) -> bool:
    """Tell whether a request is made for this name with this key; what cannot be read is not."""
    try:
        request = x509.load_pem_x509_csr(request_pem)
        is_ours = _public(request.public_key()) == _public(_own_key(key_pem).public_key())
    except UNREADABLE:
        return False
    return is_ours and _common_name(request.subject) == name


def requested_name(request_pem: bytes) -> str:
    """Return the name that a request asks for; empty when it asks for none.

    Raises:
        ValueError: it cannot be read.
    """
    return _common_name(x509.load_pem_x509_csr(request_pem).subject)


def signature(key_pem: bytes, request_pem: bytes) -> bytes:
    """Return the signature of a key (ECDSA, SHA-256) over a request in DER.

    Raises:
        ValueError: the key is no EC key, or one of the two cannot be read.
    """
    request = x509.load_pem_x509_csr(request_pem)
    return _own_key(key_pem).sign(request.public_bytes(Encoding.DER), ec.ECDSA(hashes.SHA256()))


def first_certificate(chain_pem: bytes) -> bytes:
    """Return the certificate of the holder alone, without the chain."""
    return x509.load_pem_x509_certificates(chain_pem)[0].public_bytes(Encoding.PEM)


def _own_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is no EC key")  # noqa: TRY004 -- to callers one more way of not being usable
    return key


def _public(key: object) -> bytes:
    if not hasattr(key, "public_bytes"):
        raise ValueError("a key of this kind cannot be compared")
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _common_name(name: x509.Name) -> str:
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
