"""A real agent whose next certificate is of no use: it stays who it is."""

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from rig.member import Member, member_on
from rig.newcomer import Newcomer, wait_until
from rig.plant import PASSPHRASE, Plant
from rig.process import Child

from agent.identity.pair import Pair
from agent.wire.access import FLEET_USER
from agent.wire.certificates import CertificateReply, digest_of
from provisioning.authority.opening import open_signer
from provisioning.authority.root import make_issuing, make_root
from provisioning.authority.settings import AuthoritySettings
from provisioning.authority.signer import Signer, Subject
from provisioning.roles import Role

SEVEN_MINUTES = 0.005
"""In days; a certificate that begins an hour ago is due at once then."""
ASKS = "promptd/v1/device/box-S17/certificate/request"


@pytest.fixture
def plant(tmp_path: Path, stack: ExitStack) -> Plant:
    plant = Plant(tmp_path, stack, days=SEVEN_MINUTES)
    plant.start_broker()
    return plant


@pytest.fixture
def stranger(tmp_path: Path) -> Signer:
    """Return an authority that the broker does not know."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    make_root(folder, "Stranger", PASSPHRASE)
    make_issuing(folder, "Stranger issuing", lambda: PASSPHRASE, PASSPHRASE)
    (folder / "passphrase").write_bytes(PASSPHRASE)
    return open_signer(AuthoritySettings(passphrase_file=Path("passphrase")), folder)


@pytest.fixture
def box(plant: Plant) -> Newcomer:
    """Return a box that has enrolled; the service is away since then."""
    service = plant.start_service()
    box = Newcomer(plant, "S17", plant.tokens(1)[0])
    box.enrol()
    service.end()
    return box


@pytest.fixture
def fleet(plant: Plant, stack: ExitStack) -> Member:
    """Return a provisioning service that the test itself is."""
    folder = plant.issue(plant.folder / "fleet-member", Subject(FLEET_USER, Role.FLEET))
    member = stack.enter_context(member_on(plant.port, plant.tls(folder)))
    member.listen(ASKS)
    return member


@pytest.fixture
def agent(box: Newcomer, stack: ExitStack) -> Child:
    child = Child([sys.executable, "-m", "agent.cli", "run", "--config", str(box.config)])
    stack.callback(child.end)
    return child


def answer(fleet: Member, signer: Signer, name: str) -> None:
    """Wait for the request and hand out a certificate."""
    wait_until(lambda: bool(fleet.heard))
    asked = fleet.heard[-1][1]
    request = x509.load_pem_x509_csr(json.loads(asked)["request"].encode())
    issued = signer.sign(request, Subject(name, Role.DEVICE), 1)
    reply = CertificateReply(
        accepted=True,
        request=digest_of(asked),
        certificate=issued.chain_pem,
        authorities=signer.authorities,
    )
    fleet.may_write(ASKS.replace("request", "reply"), payload=reply.model_dump_json().encode())


def links(agent: Child) -> int:
    return sum('"broker_connected"' in line for line in agent.lines)


@pytest.fixture
def old(box: Newcomer) -> Pair:
    pair = box.pairs.current
    assert pair
    return pair


def test_a_box_whose_broker_refuses_the_new_certificate_goes_on_with_the_old_one(
    box: Newcomer, old: Pair, fleet: Member, agent: Child, stranger: Signer
) -> None:
    answer(fleet, stranger, "box-S17")

    refused = agent.wait_for_line(lambda line: '"certificate_refused"' in line)

    wait_until(lambda: links(agent) >= 2)
    assert json.loads(refused)["step"] == "trial"
    assert box.pairs.current == old


def test_a_certificate_for_another_name_is_not_even_tried(
    plant: Plant, box: Newcomer, old: Pair, fleet: Member, agent: Child
) -> None:
    answer(fleet, plant.signer, "box-S18")

    refused = agent.wait_for_line(lambda line: '"certificate_refused"' in line)

    assert "is made for 'box-S18', but this box is 'box-S17'" in json.loads(refused)["reason"]
    assert (box.pairs.current, links(agent)) == (old, 1)
