"""The desk with a real registry, audit log and authority: grants, repetitions, power cuts. No broker."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from rig.plant import CLAIM, CLAIM_USER, Plant
from rig.requests import forged, new_key, payload_of, pem_of, request_of

from agent.wire.certificates import CertificateReply
from provisioning.audit import Audit
from provisioning.authority.errors import AuthorityError
from provisioning.authority.signer import Issued, Subject
from provisioning.enrolment.desk import NOTED_AT_ONCE
from provisioning.enrolment.readmission import readmit
from provisioning.registry import Registry
from provisioning.registry_rows import Certificate


class PowerCutError(BaseException):
    """Nothing after this happens, and nobody handles it."""


@pytest.fixture
def plant(tmp_path: Path, stack: ExitStack) -> Plant:
    return Plant(tmp_path, stack)


def request_for(plant: Plant, serial: str = "S17") -> bytes:
    """Return a request of a new box with an unused token."""
    (token,) = plant.tokens(1)
    return payload_of(pem_of(request_of(new_key())), serial=serial, token=token)


def failed_step(reply: CertificateReply) -> str:
    """Return the step at which a request was refused."""
    assert not reply.accepted
    return reply.verdicts[-1].step


def test_a_certificate_is_made_for_the_key_of_the_request_and_the_name_of_the_box(plant: Plant) -> None:
    key = new_key()
    (token,) = plant.tokens(1)

    reply = plant.desk().enrol(CLAIM_USER, payload_of(pem_of(request_of(key)), serial="S17", token=token))

    leaf = x509.load_pem_x509_certificates(reply.certificate.encode())[0]
    assert leaf.public_key() == key.public_key()
    assert leaf.subject.rfc4514_string() == "CN=box-S17"
    assert reply.authorities == plant.signer.authorities


def test_a_listed_box_gets_the_name_of_its_entry(plant: Plant) -> None:
    plant.change(devices={"press-3": "S17"}, needs="both")

    reply = plant.desk().enrol(CLAIM_USER, request_for(plant))

    assert 'device_id = "press-3"' in reply.settings


def test_the_same_request_gets_the_same_certificate_and_counts_once(plant: Plant) -> None:
    payload = request_for(plant)
    desk = plant.desk()

    first, second = desk.enrol(CLAIM_USER, payload), desk.enrol(CLAIM_USER, payload)

    assert (first.accepted, second) == (True, first)
    assert len(plant.registry.certificates("box-S17")) == 1


CUTS = ["before the authority has signed", "after it has signed", "before the commit", "after the commit"]


class FailingParts:
    """Parts of a desk that lose their power at one moment."""

    def __init__(self, plant: Plant, cut: str) -> None:
        self._plant, self._cut = plant, cut

    @property
    def authorities(self) -> str:
        if self._cut == CUTS[3]:
            raise PowerCutError
        return self._plant.signer.authorities

    def sign(self, request: x509.CertificateSigningRequest, subject: Subject, days: float) -> Issued:
        if self._cut == CUTS[0]:
            raise PowerCutError
        issued = self._plant.signer.sign(request, subject, days)
        if self._cut == CUTS[1]:
            raise PowerCutError
        return issued

    def revocation_list(self, revoked: object, days: float) -> str:
        raise NotImplementedError


class TornRegistry(Registry):
    """Loses its power within the transaction."""

    def add_certificate(self, certificate: Certificate) -> None:
        super().add_certificate(certificate)
        raise PowerCutError


@pytest.mark.parametrize("cut", CUTS)
def test_a_power_cut_between_two_steps_loses_no_box_and_makes_no_duplicate(
    plant: Plant, stack: ExitStack, cut: str
) -> None:
    payload = request_for(plant)
    registry = TornRegistry(plant.places.registry) if cut == CUTS[2] else Registry(plant.places.registry)
    stack.callback(registry.close)
    with pytest.raises(PowerCutError):
        plant.desk(registry, FailingParts(plant, cut)).enrol(CLAIM_USER, payload)

    reply = plant.desk().enrol(CLAIM_USER, payload)

    assert reply.accepted
    assert [each.pem for each in plant.registry.certificates("box-S17")] == [reply.certificate]
    assert plant.registry.enrolled(CLAIM) == 1


def test_another_key_under_an_enrolled_name_is_refused_and_the_first_box_keeps_its_own(plant: Plant) -> None:
    desk = plant.desk()
    first = desk.enrol(CLAIM_USER, request_for(plant))

    second = desk.enrol(CLAIM_USER, request_for(plant))

    assert failed_step(second) == "not_enrolled_yet"
    assert [each.pem for each in plant.registry.certificates("box-S17")] == [first.certificate]


def test_a_token_lets_in_one_box(plant: Plant) -> None:
    (token,) = plant.tokens(1)
    desk = plant.desk()
    boxes = [payload_of(pem_of(request_of(new_key())), serial=serial, token=token) for serial in ("S1", "S2")]

    replies = [desk.enrol(CLAIM_USER, box) for box in boxes]

    assert replies[0].accepted
    assert failed_step(replies[1]) == "token"


def test_a_claim_lets_in_as_many_boxes_as_it_may(plant: Plant) -> None:
    plant.change(limit=2)
    desk = plant.desk()

    replies = [desk.enrol(CLAIM_USER, request_for(plant, serial)) for serial in ("S1", "S2", "S3")]

    assert [each.accepted for each in replies] == [True, True, False]
    assert failed_step(replies[2]) == "claim"


def test_serials_that_make_the_same_name_are_told_apart(plant: Plant) -> None:
    desk = plant.desk()
    desk.enrol(CLAIM_USER, request_for(plant, "S 17"))

    reply = desk.enrol(CLAIM_USER, request_for(plant, "S/17"))

    assert not reply.accepted
    assert "box-S-17" in reply.verdicts[-1].reason


def test_a_serial_that_enrolled_under_another_name_is_not_enrolled_twice(plant: Plant) -> None:
    desk = plant.desk()
    desk.enrol(CLAIM_USER, request_for(plant))
    plant.change(devices={"press-3": "S17"})

    reply = desk.enrol(CLAIM_USER, request_for(plant))

    assert failed_step(reply) == "serial"
    assert "enrolled as box-S17 already" in reply.verdicts[-1].reason


def test_a_device_cannot_enrol_others_with_a_name_like_that_of_a_claim(plant: Plant) -> None:
    desk = plant.desk()

    reply = desk.enrol(CLAIM, request_for(plant))

    assert failed_step(reply) == "claim"


def test_a_forged_request_is_refused_and_uses_nothing_up(plant: Plant) -> None:
    (token,) = plant.tokens(1)
    desk = plant.desk()
    pem = forged(request_of(new_key()))

    reply = desk.enrol(CLAIM_USER, payload_of(pem, serial="S17", token=token))

    assert failed_step(reply) == "request_signature"
    known = plant.registry.token(token)
    assert known
    assert known.spent_s is None


def test_a_revoked_box_stays_out_until_somebody_lets_it_in_again(plant: Plant) -> None:
    payload = request_for(plant)
    desk = plant.desk()
    desk.enrol(CLAIM_USER, payload)
    plant.registry.revoke("box-S17", "stolen")

    refused = desk.enrol(CLAIM_USER, payload)
    readmit(plant.registry, plant.audit, "box-S17")
    granted = desk.enrol(CLAIM_USER, payload)

    assert failed_step(refused) == "not_enrolled_yet"
    assert "promptd-fleet readmit box-S17" in refused.verdicts[-1].reason
    assert granted.accepted


def test_a_box_with_a_new_disk_enrols_after_it_was_readmitted_and_its_old_certificate_is_revoked(
    plant: Plant,
) -> None:
    desk = plant.desk()
    old = desk.enrol(CLAIM_USER, request_for(plant))

    readmit(plant.registry, plant.audit, "box-S17")

    new = desk.enrol(CLAIM_USER, request_for(plant))
    assert new.accepted
    assert [each.pem for each in plant.registry.revoked()] == [old.certificate]


def test_a_readmission_lets_in_once(plant: Plant) -> None:
    desk = plant.desk()
    desk.enrol(CLAIM_USER, request_for(plant))
    readmit(plant.registry, plant.audit, "box-S17")
    desk.enrol(CLAIM_USER, request_for(plant))

    reply = desk.enrol(CLAIM_USER, request_for(plant))

    assert failed_step(reply) == "not_enrolled_yet"


def test_a_device_gets_its_next_certificate_for_a_new_key(plant: Plant) -> None:
    desk = plant.desk()
    desk.enrol(CLAIM_USER, request_for(plant))
    payload = payload_of(pem_of(request_of(new_key(), "box-S17")))

    first, repeated = desk.renew("box-S17", payload), desk.renew("box-S17", payload)

    assert (first.accepted, repeated) == (True, first)
    assert len(plant.registry.certificates("box-S17")) == 2


def test_a_device_that_was_revoked_gets_no_next_certificate(plant: Plant) -> None:
    desk = plant.desk()
    desk.enrol(CLAIM_USER, request_for(plant))
    plant.registry.revoke("box-S17", "stolen")

    reply = desk.renew("box-S17", payload_of(pem_of(request_of(new_key(), "box-S17"))))

    assert failed_step(reply) == "device"


def test_a_device_gets_no_certificate_for_another_name(plant: Plant) -> None:
    desk = plant.desk()
    desk.enrol(CLAIM_USER, request_for(plant))

    reply = desk.renew("box-S17", payload_of(pem_of(request_of(new_key(), "box-S18"))))

    assert failed_step(reply) == "name"


class AwayAuthority:
    """An authority that nobody reaches."""

    authorities = ""

    def sign(self, _request: x509.CertificateSigningRequest, _subject: Subject, _days: float) -> Issued:
        raise AuthorityError("the EST server does not answer; look whether it runs")

    def revocation_list(self, revoked: object, days: float) -> str:
        raise NotImplementedError


def test_an_authority_that_is_away_puts_the_box_off_instead_of_refusing_it(plant: Plant) -> None:
    payload = request_for(plant)

    put_off = plant.desk(signer=AwayAuthority()).enrol(CLAIM_USER, payload)
    granted = plant.desk().enrol(CLAIM_USER, payload)

    assert failed_step(put_off) == "signing"
    assert put_off.retry_after_s == 60
    assert granted.accepted


def test_every_decision_stands_in_the_audit_log_and_no_token_and_no_key_does(plant: Plant) -> None:
    (token,) = plant.tokens(1)
    key = new_key()
    desk = plant.desk()

    desk.enrol(CLAIM_USER, payload_of(pem_of(request_of(key)), serial="S17", token=token))
    desk.enrol(CLAIM_USER, payload_of(pem_of(request_of(new_key())), serial="S17", token=token))

    log = Audit(plant.places.audit)
    decisions = [
        (each.action, each.subject, each.verdict) for each in log.entries() if each.action == "enrol"
    ]
    assert decisions == [("enrol", "box-S17", "ok"), ("enrol", CLAIM_USER, "refused")]
    assert token not in plant.places.audit.read_text()
    assert not log.verify().fault


def test_a_thief_with_a_claim_does_not_fill_the_audit_log(plant: Plant) -> None:
    desk = plant.desk()

    for _ in range(2 * NOTED_AT_ONCE):
        desk.enrol(CLAIM_USER, b"{}")

    refusals = [each for each in Audit(plant.places.audit).entries() if each.verdict == "refused"]
    assert NOTED_AT_ONCE <= len(refusals) < 1.5 * NOTED_AT_ONCE
