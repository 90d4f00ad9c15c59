"""What the service understands of a payload, and what it says of one that it does not."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rig.certificates import Certificates
from rig.requests import forged, new_key, payload_of, pem_of, request_of

from agent.wire.certificates import MAX_REQUEST_BYTES
from provisioning.enrolment.asked import UnreadableError, read

PEM = pem_of(request_of(new_key()))


def test_a_request_of_a_version_that_nobody_knows_is_named() -> None:
    der = request_of(new_key()).public_bytes(serialization.Encoding.DER)
    odd = base64.encodebytes(der.replace(b"\x02\x01\x00", b"\x02\x01\x05", 1)).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{odd}-----END CERTIFICATE REQUEST-----\n"

    with pytest.raises(UnreadableError, match="no PKCS #10 request"):
        read(payload_of(pem))


def test_a_request_is_known_by_its_key_however_often_it_is_made() -> None:
    key = new_key()

    first, second = (read(payload_of(pem_of(request_of(key, name)))) for name in ("", "box-17"))

    assert first.key_digest == second.key_digest
    assert (first.name, second.name, first.key_fault) == ("", "box-17", "")


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (b"", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b"[" * 9000, "not valid JSON"),
        (json.dumps({"serial": "S17"}).encode(), "'request'"),
        (json.dumps({"request": PEM, "key": "no"}).encode(), "'key'"),
        (json.dumps({"request": 17}).encode(), "'request'"),
        (json.dumps({"request": PEM, "token": None}).encode(), "'token'"),
        (b'{"request": "a", "request": "b"}', "stands there twice"),
        (payload_of("no PEM"), "PKCS #10"),
        (payload_of(PEM[:200] + PEM[-60:]), "PKCS #10"),
        (payload_of(PEM, serial="S")[:-1] + b" " * MAX_REQUEST_BYTES + b"}", f"at most {MAX_REQUEST_BYTES}"),
    ],
)
def test_what_is_no_request_is_refused_with_what_it_should_be(payload: bytes, word: str) -> None:
    with pytest.raises(UnreadableError) as refusal:
        read(payload)

    assert word in str(refusal.value)


def test_a_request_that_was_changed_on_its_way_is_noticed() -> None:
    pem = forged(request_of(new_key()))

    asked = read(payload_of(pem))

    assert "not signed by its own key" in asked.key_fault


def test_a_key_of_an_unusual_curve_is_not_accepted() -> None:
    key = ec.generate_private_key(ec.SECP256K1())

    asked = read(payload_of(pem_of(request_of(key))))

    assert "P-256" in asked.key_fault


def test_a_proof_counts_only_if_the_old_key_signed_this_very_request(certificates: Certificates) -> None:
    old = serialization.load_pem_private_key((certificates.folder / "device.key").read_bytes(), None)
    assert isinstance(old, ec.EllipticCurvePrivateKey)
    request, other = request_of(new_key()), request_of(new_key())
    signature = old.sign(request.public_bytes(serialization.Encoding.DER), ec.ECDSA(hashes.SHA256()))
    proof = {
        "certificate": (certificates.folder / "device.pem").read_text(),
        "signature": base64.b64encode(signature).decode(),
    }

    mine, borrowed = (read(payload_of(pem_of(each), proof=proof)).proof for each in (request, other))

    assert mine
    assert borrowed
    assert (mine.is_signed, borrowed.is_signed) == (True, False)
    assert mine.number == borrowed.number


@pytest.mark.parametrize(
    "proof", [{"certificate": "", "signature": ""}, {"certificate": PEM, "signature": "%"}]
)
def test_a_proof_that_cannot_be_read_proves_nothing(proof: dict[str, str]) -> None:
    payload = payload_of(PEM, proof=proof)

    asked = read(payload)

    assert asked.proof
    assert not asked.proof.is_signed
