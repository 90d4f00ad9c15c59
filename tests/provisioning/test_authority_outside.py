"""An authority and those outside of it: a program that signs, a thief of its keys, a broker with its list."""

import datetime as dt
import socket
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from rig.authority import Authority
from rig.kinds import StartBroker
from rig.member import member_on
from rig.requests import new_key, request_of

from provisioning.authority.errors import AuthorityError
from provisioning.authority.opening import open_signer
from provisioning.authority.settings import AuthoritySettings
from provisioning.authority.signer import Revoked, Signer, Subject
from provisioning.roles import Role

BOX = Subject("box-17", Role.DEVICE)
SIGN = """\
openssl x509 -req -days 1 -subj "/CN=$1" -passin file:passphrase -CA issuing.pem -CAkey issuing.key
cat issuing.pem"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def signing_by(folder: Path, script: str, *words: str) -> Signer:
    """Return an authority behind a shell script that gets `words`."""
    program = folder / "sign"
    program.write_text(f"#!/bin/sh\ncd {folder} || exit 1\n{script}\n")
    program.chmod(0o755)
    settings = AuthoritySettings(
        kind="command", command=(str(program), *words), authorities_file=Path("root.pem")
    )
    return open_signer(settings, folder)


def test_a_program_signs_and_its_chain_leads_to_the_root(authority: Authority) -> None:
    key = new_key()
    signer = signing_by(authority.folder, SIGN, "{name}")

    issued = signer.sign(request_of(key), BOX, 1)

    assert issued.certificate.subject.rfc4514_string() == "CN=box-17"
    assert issued.certificate.public_key() == key.public_key()
    leaf, issuing = x509.load_pem_x509_certificates(issued.chain_pem.encode())
    leaf.verify_directly_issued_by(issuing)
    assert signer.authorities == authority.path("root.pem").read_text()


def test_every_word_of_the_command_reaches_the_program_as_it_is(authority: Authority) -> None:
    script = f'printf "%s\\n" "$@" > words\n{SIGN}'
    signer = signing_by(authority.folder, script, "{name}", "{role}", "{hours}", "two words; $(touch stolen)")

    signer.sign(request_of(new_key()), BOX, 1.5)

    words = (authority.folder / "words").read_text().splitlines()
    assert words == ["box-17", "device", "36", "two words; $(touch stolen)"]


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo no more licences >&2; exit 3", "ended with 3: no more licences"),
        ("exit 3", "ended with 3: it said nothing"),
        ("echo here you are", "printed no certificate in PEM format"),
        ("set -- box-18\n" + SIGN, "a certificate for box-17 that is made for 'box-18'"),
        ("cat issuing.pem", "is made for another key"),
    ],
)
def test_a_program_that_does_not_sign_what_it_should_is_told_in_a_sentence(
    authority: Authority, script: str, complaint: str
) -> None:
    signer = signing_by(authority.folder, script, "{name}")

    with pytest.raises(AuthorityError, match=complaint):
        signer.sign(request_of(new_key()), BOX, 1)


@pytest.mark.parametrize("name", ["root.key", "issuing.key"])
def test_a_key_that_is_stolen_cannot_be_used(authority: Authority, name: str) -> None:
    file = authority.path(name)

    with pytest.raises(TypeError, match="encrypted"):
        serialization.load_pem_private_key(file.read_bytes(), password=None)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_broker_refuses_who_is_on_the_list_and_lets_the_others_in(
    authority: Authority, start_mosquitto: StartBroker
) -> None:
    stolen = authority.member("stolen", Role.DEVICE)
    authority.member("other", Role.DEVICE)
    revoked = [Revoked(stolen.serial_number, dt.datetime.now(dt.UTC))]
    authority.path("crl.pem").write_text(authority.signer.revocation_list(revoked, 30))
    broker = start_mosquitto(*authority.broker_lines(), f"crlfile {authority.path('crl.pem')}")

    with member_on(broker.port, authority.context("other")):
        refusal = refusal_of(broker.port, authority)

    assert "certificate revoked" in refusal


def refusal_of(port: int, authority: Authority) -> str:
    """Return what the broker says to the stolen certificate; in TLS 1.3 only the first answer has it.

    Nothing is sent before it: whoever writes to a link that is closed already hears of that alone.
    """
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    with authority.context("stolen").wrap_socket(plain, server_hostname="127.0.0.1") as link:
        try:
            return f"it was let in: {link.recv(64)!r}"
        except OSError as error:
            return str(error)
