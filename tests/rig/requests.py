"""Requests for certificates as boxes make them, and as forgers do."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.wire.certificates import CertificateRequest
from provisioning.enrolment.asked import Asked, read

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def request_of(key: Key, name: str = "") -> x509.CertificateSigningRequest:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())


def pem_of(request: x509.CertificateSigningRequest) -> str:
    return request.public_bytes(serialization.Encoding.PEM).decode()


def forged(request: x509.CertificateSigningRequest) -> str:
    """Return the request, PEM, with the last byte of its signature changed."""
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return pem_of(x509.load_der_x509_csr(bytes(der)))


def payload_of(pem: str, **fields: object) -> bytes:
    return CertificateRequest.model_validate({"request": pem, **fields}).model_dump_json().encode()


def asked_by(key: Key | None = None, **fields: object) -> Asked:
    return read(payload_of(pem_of(request_of(key or new_key())), **fields))
