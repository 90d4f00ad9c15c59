"""A request as the service understood it: bytes in, facts out. Judges nothing but whether it can be read."""

import base64
import binascii
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from agent.wire.certificates import MAX_REQUEST_BYTES, CertificateRequest, Proof
from agent.wire.errors import InvalidField, InvalidJson
from agent.wire.json_text import read_object, refuse_repeated_keys
from provisioning.authority.errors import RequestRefusedError
from provisioning.authority.signer import agreed_key, common_name, key_digest


class UnreadableError(Exception):
    """The payload is no request; the message says what it should be."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A proof that came along: which certificate it speaks of, and whether its key has signed the request."""

    number: str
    """Serial number of the old certificate, hexadecimal, lower case."""
    is_signed: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a certificate."""

    request: x509.CertificateSigningRequest
    key_digest: str
    """SHA-256 of the public key (DER), hexadecimal: one key is one request, however often it comes."""
    name: str
    """The common name it asks for; empty where it leaves that to the service."""
    key_fault: str
    """Why this key, or its signature on the request, is not accepted; empty when it is."""
    serial: str = ""
    token: str = ""
    proof: Proven | None = None


def read(payload: bytes) -> Asked:
    """Return what a payload asks for.

    Raises:
        UnreadableError: it is too large, no JSON, has unknown fields, or holds no PKCS #10 request.
    """
    if len(payload) > MAX_REQUEST_BYTES:
        raise UnreadableError(
            f"the request has {len(payload)} bytes, and at most {MAX_REQUEST_BYTES} are read; "
            f"update promptd on this box"
        )
    try:
        content = read_object(payload)
        refuse_repeated_keys(payload)
        asked = CertificateRequest.model_validate(content)
    except (InvalidJson, InvalidField) as error:
        raise UnreadableError(error.message) from error
    except ValidationError as error:
        raise UnreadableError(_first_fault(error)) from error
    return _understood(asked)


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(level) for level in first["loc"])
    return f"the field {where[:64]!r} cannot be read ({first['msg']}); update promptd on this box"


def _understood(asked: CertificateRequest) -> Asked:
    try:
        request = x509.load_pem_x509_csr(asked.request.encode())
        digest = key_digest(request.public_key())
        name = common_name(request)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise UnreadableError(
            "the field 'request' holds no PKCS #10 request in PEM format; remove the folder `request` below "
            "identity.folder, so that the box makes a new one"
        ) from error
    return Asked(
        request=request,
        key_digest=digest,
        name=name,
        key_fault=_key_fault(request),
        serial=asked.serial.strip(),
        token=asked.token,
        proof=_proven(asked.proof, request) if asked.proof else None,
    )


def _key_fault(request: x509.CertificateSigningRequest) -> str:
    try:
        agreed_key(request)
    except RequestRefusedError as error:
        return str(error)
    return ""


def _proven(proof: Proof, request: x509.CertificateSigningRequest) -> Proven:
    """Return what the proof shows; whatever cannot be read shows nothing."""
    try:
        certificate = x509.load_pem_x509_certificate(proof.certificate.encode())
        key = certificate.public_key()
        signature = base64.b64decode(proof.signature, validate=True)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, binascii.Error):
        return Proven("", is_signed=False)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return Proven("", is_signed=False)
    try:
        key.verify(signature, request.public_bytes(serialization.Encoding.DER), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return Proven(f"{certificate.serial_number:x}", is_signed=False)
    return Proven(f"{certificate.serial_number:x}", is_signed=True)
