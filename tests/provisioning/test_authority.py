"""Authorities of every kind: what they sign, what they refuse, and whom others trust by it."""

import datetime as dt
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from rig.est import PASSWORD, Est
from rig.requests import forged, new_key, request_of

from provisioning.authority.errors import AuthorityError, RequestRefusedError
from provisioning.authority.opening import open_signer
from provisioning.authority.root import make_issuing, make_root
from provisioning.authority.settings import AuthoritySettings
from provisioning.authority.signer import Revoked, Signer, Subject
from provisioning.roles import Role

BOX = Subject("box-17", Role.DEVICE)
PASSPHRASE = b"a passphrase of a test"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of an authority of our own, whose root key was carried away."""
    make_root(tmp_path, "Test root", PASSPHRASE)
    make_issuing(tmp_path, "Test issuing", lambda: PASSPHRASE, PASSPHRASE)
    (tmp_path / "root.key").unlink()
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    return tmp_path


@pytest.fixture
def own(folder: Path) -> Signer:
    return open_signer(AuthoritySettings(passphrase_file=Path("passphrase")), folder)


@pytest.fixture
def est(folder: Path, own: Signer) -> Iterator[Est]:
    server = Est(folder, own)
    yield server
    server.close()


def est_settings(server: Est, password_file: str = "password") -> AuthoritySettings:  # noqa: S107 -- a file's name
    return AuthoritySettings(
        kind="est",
        url=server.url,
        ca_file=Path("root.pem"),
        username="fleet",
        password_file=Path(password_file),
    )


def test_openssl_accepts_what_is_signed_without_the_key_of_the_root(folder: Path, own: Signer) -> None:
    issued = own.sign(request_of(new_key()), BOX, 30)
    (folder / "box.pem").write_text(issued.chain_pem)

    command = ["openssl", "verify", "-CAfile", "root.pem", "-untrusted", "box.pem", "box.pem"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert done.stdout == "box.pem: OK\n", done.stderr


def test_of_a_request_only_the_key_is_taken(own: Signer) -> None:
    key = new_key()
    wish = x509.CertificateSigningRequestBuilder().subject_name(request_of(key, "root").subject)
    wish = wish.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)

    made = own.sign(wish.sign(key, hashes.SHA256()), BOX, 30).certificate

    assert made.subject.rfc4514_string() == "CN=box-17"
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    uses = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_certificate_begins_an_hour_ago_for_clocks_that_are_behind(own: Signer) -> None:
    issued = own.sign(request_of(new_key()), BOX, 30)

    age = dt.datetime.now(dt.UTC) - issued.not_before

    assert dt.timedelta(minutes=59) < age < dt.timedelta(minutes=62)


@pytest.mark.parametrize(
    "request_",
    [
        x509.load_pem_x509_csr(forged(request_of(new_key())).encode()),
        request_of(ec.generate_private_key(ec.SECP192R1())),
        request_of(rsa.generate_private_key(65537, 1024)),  # type: ignore[arg-type]  # noqa: S505 -- that is what is refused
    ],
    ids=["signature", "curve", "length"],
)
def test_a_key_that_is_weak_or_has_not_signed_its_request_is_refused(
    own: Signer, request_: x509.CertificateSigningRequest
) -> None:
    with pytest.raises(RequestRefusedError):
        own.sign(request_, BOX, 30)


def test_a_wrong_passphrase_is_one_sentence(folder: Path) -> None:
    (folder / "passphrase").write_bytes(b"another one")

    with pytest.raises(AuthorityError, match="passphrase"):
        open_signer(AuthoritySettings(passphrase_file=Path("passphrase")), folder)


def test_openssl_reads_the_revocation_list_and_refuses_by_it(folder: Path, own: Signer) -> None:
    issued = own.sign(request_of(new_key()), BOX, 30)
    revoked = [Revoked(issued.serial_number, dt.datetime.now(dt.UTC))]
    (folder / "crl.pem").write_text(own.revocation_list(revoked, 30))
    (folder / "box.pem").write_text(issued.chain_pem)

    command = ["openssl", "verify", "-crl_check", "-CRLfile", "crl.pem", "-CAfile", "root.pem"]
    command += ["-untrusted", "box.pem", "box.pem"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert "certificate revoked" in done.stderr


def test_an_issuing_certificate_from_elsewhere_signs_as_our_own(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(folder / "issuing.key", elsewhere / "their.key")
    chain = (folder / "issuing.pem").read_text() + (folder / "root.pem").read_text()
    (elsewhere / "their.pem").write_text(chain)
    (elsewhere / "passphrase").write_bytes(PASSPHRASE)
    settings = AuthoritySettings(
        kind="files",
        certificate_file=Path("their.pem"),
        key_file=Path("their.key"),
        passphrase_file=Path("passphrase"),
    )

    signer = open_signer(settings, elsewhere)

    issued = signer.sign(request_of(new_key()), BOX, 30)
    assert issued.certificate.subject.rfc4514_string() == "CN=box-17"
    assert signer.authorities.strip() == (folder / "root.pem").read_text().strip()


def test_an_est_server_signs_the_name_of_the_request_and_tells_its_root(folder: Path, est: Est) -> None:
    (folder / "password").write_text(f"{PASSWORD}\n")
    signer = open_signer(est_settings(est), folder)

    issued = signer.sign(request_of(new_key(), BOX.name), BOX, 30)

    assert issued.certificate.subject.rfc4514_string() == "CN=box-17"
    assert issued.chain_pem.count("BEGIN CERTIFICATE") == 2
    assert signer.authorities.strip() == (folder / "root.pem").read_text().strip()


def test_an_est_server_that_does_not_know_us_says_what_to_check(folder: Path, est: Est) -> None:
    (folder / "password").write_text("wrong")
    signer = open_signer(est_settings(est), folder)

    with pytest.raises(AuthorityError, match=r"check authority\.username"):
        signer.sign(request_of(new_key(), BOX.name), BOX, 30)
