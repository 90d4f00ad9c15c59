"""The request for a certificate, its key, and the proof by the old one."""

import base64
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from rig.authority import Authority

from agent.identity.pair import Pairs
from agent.identity.request import Pending
from agent.wire.errors import AgentError
from provisioning.authority.signer import common_name


def test_a_request_waits_across_restarts(tmp_path: Path) -> None:
    first = Pending(tmp_path, "box").pem()

    again = Pending(tmp_path, "box").pem()

    assert again == first


def test_a_request_names_the_box_and_is_signed_by_its_key(tmp_path: Path) -> None:
    request = x509.load_pem_x509_csr(Pending(tmp_path, "box").pem().encode())

    assert (common_name(request), request.is_signature_valid) == ("box", True)
    assert isinstance(request.public_key(), ec.EllipticCurvePublicKey)


def test_a_request_without_a_name_leaves_it_to_the_service(tmp_path: Path) -> None:
    request = x509.load_pem_x509_csr(Pending(tmp_path).pem().encode())

    assert common_name(request) == ""


def test_a_request_for_another_name_is_made_anew(tmp_path: Path) -> None:
    first = Pending(tmp_path).pem()

    second = Pending(tmp_path, "box").pem()

    assert second != first


@pytest.mark.parametrize("name", ["key.pem", "request.pem"])
def test_a_torn_request_is_made_anew(tmp_path: Path, name: str) -> None:
    Pending(tmp_path, "box").pem()
    (tmp_path / "request" / name).write_bytes(b"")

    request = x509.load_pem_x509_csr(Pending(tmp_path, "box").pem().encode())

    assert request.is_signature_valid


def test_its_key_is_for_its_owner_alone_and_not_in_the_request(tmp_path: Path) -> None:
    asked = Pending(tmp_path, "box").pem()

    key = tmp_path / "request" / "key.pem"

    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "PRIVATE KEY" not in asked


def test_the_proof_is_signed_by_the_old_key_over_the_new_request(
    tmp_path: Path, authority: Authority
) -> None:
    old = authority.enrol(tmp_path, "box")
    pending = Pending(tmp_path, "box")

    proof = pending.proof(old)

    assert proof
    certificate = x509.load_pem_x509_certificate(proof.certificate.encode())
    key, request = certificate.public_key(), x509.load_pem_x509_csr(pending.pem().encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signed = request.public_bytes(Encoding.DER)
    key.verify(base64.b64decode(proof.signature), signed, ec.ECDSA(hashes.SHA256()))
    assert certificate.serial_number == old.serial_number


def test_a_box_that_never_had_a_certificate_proves_nothing(tmp_path: Path) -> None:
    assert Pending(tmp_path).proof(None) is None


def test_an_answer_to_another_request_is_refused(tmp_path: Path, authority: Authority) -> None:
    pending = Pending(tmp_path, "box")
    pending.pem()
    foreign = authority.sign(Pending(tmp_path / "other", "box").pem(), "box")

    with pytest.raises(AgentError, match="made for another key"):
        pending.receive(Pairs(tmp_path), foreign.chain_pem, authority.signer.authorities)
