"""The device's side of enrolment against a real broker and a real service."""

import datetime as dt
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from rig.newcomer import PATIENCE_S, Newcomer, wait_until
from rig.plant import CLAIM_USER, Plant

from agent.identity.enrol import RefusedError
from agent.settings import Settings
from agent.wire.errors import ConfigError
from provisioning.authority.signer import Subject
from provisioning.roles import Role

STEPS = (
    "claim_found",
    "serial_found",
    "payload",
    "claim",
    "claim_not_expired",
    "token",
    "serial",
    "not_enrolled_yet",
    "request_signature",
    "name",
    "signing",
    "keeping",
)


class PowerCutError(BaseException):
    """Nothing after this happens, and nobody handles it."""


@pytest.fixture
def plant(tmp_path: Path, stack: ExitStack) -> Plant:
    plant = Plant(tmp_path, stack)
    plant.start_broker()
    plant.start_service()
    return plant


@pytest.fixture
def box(plant: Plant) -> Newcomer:
    """Return a box that may enrol."""
    (token,) = plant.tokens(1)
    return Newcomer(plant, "S17", token)


def test_every_step_is_told_in_its_order(box: Newcomer) -> None:
    box.enrol()

    told = [(each.step, each.passed) for each in box.verdicts]

    assert told == [(step, True) for step in STEPS]


def test_a_power_cut_after_the_settings_and_before_the_pair_leads_to_the_same_certificate(
    plant: Plant, box: Newcomer
) -> None:
    def keep_and_lose_power(text: str) -> Settings:
        box.keep_settings(text)
        raise PowerCutError

    box.keep = keep_and_lose_power
    with pytest.raises(PowerCutError):
        box.enrol()
    assert box.pairs.valid is None

    box.keep = box.keep_settings
    pair = box.enrol()

    assert [each.number for each in plant.registry.certificates("box-S17")] == [f"{pair.serial_number:x}"]
    assert box.settings().device_id == "box-S17"


def test_a_request_that_waits_keeps_its_key_over_a_restart(plant: Plant, box: Newcomer) -> None:
    plant.change(needs="both")
    with pytest.raises(RefusedError):
        box.enrol()
    before = (box.identity_dir / "request" / "key.pem").read_bytes()

    plant.change(needs="token")
    pair = box.enrol()

    assert pair.key_file.read_bytes() == before
    assert not (box.identity_dir / "request").exists()


def test_settings_with_which_this_box_cannot_start_are_told_and_leave_no_pair_behind(box: Newcomer) -> None:
    def refuse(_text: str) -> Settings:
        raise ConfigError("no box can start with that")

    box.keep = refuse
    enrolling = box.enrol_aside()
    box.wait_until_told("no box can start with that")
    valid_before = box.pairs.valid

    box.keep = box.keep_settings
    enrolling.join(PATIENCE_S)

    assert valid_before is None
    assert box.pairs.valid
    assert len(list((box.identity_dir / "pairs").iterdir())) == 1


def test_a_box_whose_environment_names_another_device_says_what_to_remove(
    box: Newcomer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTD_DEVICE_ID", "box-99")
    enrolling = box.enrol_aside()
    box.wait_until_told("remove device_id")

    monkeypatch.delenv("PROMPTD_DEVICE_ID")
    enrolling.join(PATIENCE_S)

    assert box.pairs.valid
    assert box.settings().device_id == "box-S17"


def test_a_box_that_is_switched_on_before_its_broker_waits_for_it(tmp_path: Path, stack: ExitStack) -> None:
    plant = Plant(tmp_path, stack)
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)
    enrolling = box.enrol_aside()
    box.wait_until_told("enrolment waits: [Errno 111]")

    plant.start_broker()
    plant.start_service()
    enrolling.join(PATIENCE_S)

    assert box.pairs.valid


def test_a_claim_that_is_over_is_named_and_the_box_gets_in_with_the_next_one(plant: Plant) -> None:
    (token,) = plant.tokens(1)
    claim = plant.issue(plant.claim, Subject(CLAIM_USER, Role.CLAIM), days=1 / 86_400)
    leaf = x509.load_pem_x509_certificate((claim / "cert.pem").read_bytes())
    wait_until(lambda: leaf.not_valid_after_utc < dt.datetime.now(dt.UTC))
    enrolling = (box := Newcomer(plant, "S17", token)).enrol_aside()
    box.wait_until_told("the claim certificate was good until")

    plant.issue(plant.claim, Subject(CLAIM_USER, Role.CLAIM))
    enrolling.join(PATIENCE_S)

    assert box.pairs.valid


def test_a_box_that_nothing_tells_from_another_needs_a_serial(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.identity.enrol.board_serial", lambda: "")
    box = Newcomer(plant, "")

    with pytest.raises(ConfigError, match=r"identity\.serial"):
        box.enrol()
