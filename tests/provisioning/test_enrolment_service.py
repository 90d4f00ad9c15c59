"""The service on a real broker with the generated rules: boxes enrol, and are told why when they do not."""

import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.member import Member, member_on
from rig.newcomer import PATIENCE_S, Newcomer, wait_until
from rig.plant import AUDITOR, CLAIM_USER, Plant
from rig.requests import forged, new_key, payload_of, pem_of, request_of

from agent.identity.enrol import RefusedError
from agent.wire.access import FLEET_USER
from agent.wire.certificates import MAX_REQUEST_BYTES, CertificateReply, Verdict, digest_of
from agent.wire.topics import EnrolmentTopics
from provisioning.authority.signer import Subject
from provisioning.roles import Role

KILLS_ITS_PARENT_ONCE = "[ -e killed ] || { touch killed; kill -9 $PPID; }"


@pytest.fixture
def plant(tmp_path: Path, stack: ExitStack) -> Plant:
    plant = Plant(tmp_path, stack)
    plant.start_broker()
    return plant


@pytest.fixture
def join(plant: Plant, stack: ExitStack) -> Callable[[Subject], Member]:
    """Return a function that connects somebody with a certificate of the fleet."""

    def join(subject: Subject) -> Member:
        folder = plant.issue(plant.folder / "members" / subject.name, subject)
        return stack.enter_context(member_on(plant.port, plant.tls(folder)))

    return join


def ask(member: Member, request: str, payload: bytes) -> CertificateReply:
    """Ask as whoever holds the claim, and return the reply."""
    topics = EnrolmentTopics("promptd", CLAIM_USER, request)
    member.listen(topics.reply)
    member.may_write(topics.ask, payload=payload)
    member.topics_until(topics.reply)
    said = next(payload for topic, payload in member.heard if topic == topics.reply)
    return CertificateReply.model_validate_json(said)


def test_a_box_with_a_claim_and_a_token_gets_its_certificate_and_its_settings(plant: Plant) -> None:
    plant.start_service()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)

    pair = box.enrol()

    assert pair.name == "box-S17"
    assert (box.settings().device_id, box.settings().broker.url) == ("box-S17", plant.url)
    assert [each.step for each in box.verdicts if not each.passed] == []


def test_a_box_hears_what_is_wrong_and_gets_in_once_that_is_mended(plant: Plant) -> None:
    plant.change(needs="both")
    plant.start_service()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)
    with pytest.raises(RefusedError) as refusal:
        box.enrol()

    plant.change(devices={"press-3": "S17"})
    pair = box.enrol()

    assert "no device of the inventory has the serial 'S17'" in str(refusal.value)
    assert pair.name == "press-3"


def test_a_claim_that_is_over_is_refused_though_the_broker_still_lets_it_in(plant: Plant) -> None:
    plant.start_service()
    (token,) = plant.tokens(1)
    plant.change(expires="2026-01-31")

    with pytest.raises(RefusedError) as refusal:
        Newcomer(plant, "S17", token).enrol()

    assert "was good until 2026-01-31" in str(refusal.value)


def test_two_boxes_with_one_serial_are_told_apart_and_the_first_one_stays(plant: Plant) -> None:
    plant.start_service()
    tokens = plant.tokens(2)
    first, second = (Newcomer(plant, "S17", token, f"twin-{token}") for token in tokens)
    pair = first.enrol()

    with pytest.raises(RefusedError) as refusal:
        second.enrol()

    assert "two boxes have the serial 'S17'" in str(refusal.value)
    assert first.pairs.valid == pair


def test_a_field_device_goes_on_asking_until_a_person_has_mended_it(plant: Plant) -> None:
    plant.change(needs="serial")
    plant.start_service()
    box = Newcomer(plant, "S17")
    enrolling = box.enrol_aside()
    box.wait_until_told("enrolment is refused")

    plant.change(devices={"press-3": "S17"})
    enrolling.join(PATIENCE_S)

    assert box.pairs.valid
    assert box.pairs.valid.name == "press-3"


def test_requests_wait_while_the_service_is_away(plant: Plant) -> None:
    service = plant.start_service()
    service.end()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)
    enrolling = box.enrol_aside()
    box.wait_until_told("has asked")

    plant.start_service()
    enrolling.join(PATIENCE_S)

    assert box.pairs.valid


def test_a_service_that_is_killed_while_its_authority_signs_loses_no_box(plant: Plant) -> None:
    plant.change(authority=plant.signing_program(KILLS_ITS_PARENT_ONCE))
    service = plant.start_service()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)
    enrolling = box.enrol_aside()
    assert service.wait() == -signal.SIGKILL

    plant.start_service()
    enrolling.join(PATIENCE_S)

    assert box.pairs.valid
    assert len(plant.registry.certificates("box-S17")) == 1


def test_a_box_that_was_away_too_long_gets_its_next_certificate_with_a_proof(plant: Plant) -> None:
    plant.change(days=3 / 86_400)
    plant.start_service()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)
    old = box.enrol()
    wait_until(lambda: box.pairs.valid is None)
    plant.change(days=1)

    new = box.enrol()

    assert (new.name, box.pairs.valid) == (old.name, new)
    assert new.serial_number != old.serial_number


def test_a_box_that_was_revoked_proves_nothing_with_its_old_key(plant: Plant) -> None:
    plant.change(days=3 / 86_400)
    plant.start_service()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)
    box.enrol()
    plant.registry.revoke("box-S17", "stolen")
    wait_until(lambda: box.pairs.valid is None)

    with pytest.raises(RefusedError) as refusal:
        box.enrol()

    assert "promptd-fleet readmit box-S17" in str(refusal.value)


@pytest.mark.parametrize(
    ("payload", "step"),
    [
        (b"\x00", "payload"),
        (
            payload_of(pem_of(request_of(new_key())), serial="S17")[:-1] + b" " * MAX_REQUEST_BYTES + b"}",
            "payload",
        ),
        (payload_of(forged(request_of(new_key())), serial="S17"), "request_signature"),
    ],
)
def test_what_a_forger_sends_is_answered_with_the_step_that_failed(
    plant: Plant, join: Callable[[Subject], Member], payload: bytes, step: str
) -> None:
    plant.change(needs="serial", devices={"press-3": "S17"})
    plant.start_service()

    reply = ask(join(Subject(CLAIM_USER, Role.CLAIM)), "r1", payload)

    assert (reply.accepted, reply.verdicts[-1].step) == (False, step)


def test_a_box_heeds_no_reply_to_what_somebody_else_has_asked_in_its_place(
    plant: Plant, join: Callable[[Subject], Member]
) -> None:
    (token,) = plant.tokens(1)
    box, fleet = Newcomer(plant, "S17", token), join(Subject(FLEET_USER, Role.FLEET))
    fleet.listen("promptd/v1/enrol/+/+/request")
    thread = box.enrol_aside(gives_up=True)
    wait_until(lambda: bool(fleet.heard))
    topic, _ = fleet.heard[0]
    no = Verdict(step="name", passed=False, reason="go away")
    reply = CertificateReply(accepted=False, request=digest_of(b"of a thief"), verdicts=(no,))

    fleet.may_write(topic.removesuffix("request") + "reply", payload=reply.model_dump_json().encode())
    plant.start_service()
    thread.join(PATIENCE_S)

    assert box.pairs.valid
    assert no not in box.verdicts


def test_a_flood_of_one_claim_is_put_off_and_the_next_box_of_another_kind_is_answered(
    plant: Plant, join: Callable[[Subject], Member]
) -> None:
    service = plant.start_service()
    flood = join(Subject(CLAIM_USER, Role.CLAIM))
    flood.listen(EnrolmentTopics("promptd", CLAIM_USER, "+").reply)
    flood.may_write(*[EnrolmentTopics("promptd", CLAIM_USER, f"r{number}").ask for number in range(600)])
    device = join(Subject("box-1", Role.DEVICE))
    device.listen("promptd/v1/device/box-1/certificate/reply")

    device.may_write("promptd/v1/device/box-1/certificate/request")

    device.topics_until("promptd/v1/device/box-1/certificate/reply")
    replies = [CertificateReply.model_validate_json(payload) for _, payload in flood.heard]
    assert any(reply.retry_after_s for reply in replies)
    assert service.process.poll() is None


def test_no_private_key_is_ever_published(plant: Plant, join: Callable[[Subject], Member]) -> None:
    auditor = join(Subject(AUDITOR, Role.CLIENT))
    auditor.listen("#")
    plant.start_service()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)

    pair = box.enrol()

    auditor.listen("$SYS/none")  # what was published before is heard when this is answered
    published = b"".join(payload for _, payload in auditor.heard)
    key = pair.key_file.read_text().splitlines()[1:-1]
    assert b"BEGIN CERTIFICATE REQUEST" in published
    assert b"PRIVATE KEY" not in published
    assert [line for line in key if line.encode() in published] == []


BATCH = 50


def test_fifty_boxes_that_are_switched_on_at_once_are_all_let_in(plant: Plant) -> None:
    plant.start_service()
    boxes = [Newcomer(plant, f"S{number}", token) for number, token in enumerate(plant.tokens(BATCH))]

    began_s = time.monotonic()
    threads = [box.enrol_aside() for box in boxes]
    for thread in threads:
        thread.join(PATIENCE_S)
    took_s = time.monotonic() - began_s

    names = {box.pairs.valid.name for box in boxes if box.pairs.valid}
    assert names == {f"box-S{number}" for number in range(BATCH)}
    assert plant.registry.enrolled("line-7") == BATCH
    assert took_s < PATIENCE_S, f"{took_s:.1f} s"


def test_systemd_hears_how_the_service_is_and_that_it_stops(plant: Plant, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    said: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
        stream.bind(address)
        stream.settimeout(PATIENCE_S)
        service = plant.start_service({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"})
        while not {"READY=1\nSTATUS=serving", "STATUS=serving", "WATCHDOG=1"} <= set(said):
            said.append(stream.recv(4096).decode())

        service.send_signal(signal.SIGTERM)

        while "STOPPING=1\nSTATUS=stopping" not in said:
            said.append(stream.recv(4096).decode())
    assert service.wait() == 0


def test_a_service_whose_broker_was_restarted_serves_on(plant: Plant) -> None:
    service = plant.start_service()
    (token,) = plant.tokens(1)
    plant.broker.end()
    service.wait_for_line(lambda line: "broker_link_lost" in line)

    plant.start_broker()
    pair = Newcomer(plant, "S17", token).enrol()

    assert pair.name == "box-S17"


def test_a_mistake_in_the_inventory_is_told_and_the_service_goes_on_with_the_old_one(plant: Plant) -> None:
    service = plant.start_service()
    (token,) = plant.tokens(1)
    plant.change(limit="many")

    pair = Newcomer(plant, "S17", token).enrol()

    assert pair.name == "box-S17"
    assert "limit" in service.wait_for_line(lambda line: "inventory_refused" in line)
