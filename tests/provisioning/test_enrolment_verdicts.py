"""The judgement on a request for a first certificate, step by step, from facts alone."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from rig.requests import asked_by

from agent.wire.certificates import Verdict
from provisioning.enrolment.asked import Asked, Proven
from provisioning.enrolment.verdicts import History, Known, KnownDevice, judge_enrolment, judge_renewal
from provisioning.inventory import Claim
from provisioning.registry_rows import Certificate, Device, Token
from provisioning.roles import Role

NOW = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)
NOW_S = NOW.timestamp()
STEPS = (
    "payload",
    "claim",
    "claim_not_expired",
    "token",
    "serial",
    "not_enrolled_yet",
    "request_signature",
    "name",
)
CLAIM = Claim(expires=dt.date(2026, 11, 20), limit=2)
UNUSED = Token("digest", "line-7", NOW_S - 60, NOW_S + 60)
GOOD = Known(
    claim_name="line-7",
    claim=CLAIM,
    is_withdrawn=False,
    enrolled=0,
    name="box-17",
    is_listed=True,
    is_free=True,
    wants_name=False,
    device=None,
    twin="",
    history=History(),
    token=UNUSED,
)
TOKEN = "a token"  # noqa: S105 -- of nobody
ASKED = asked_by(serial="S17", token=TOKEN)
OLD = Certificate("ab12", "box-17", Role.DEVICE, 0, NOW_S - 1, "another key", "PEM", NOW_S - 86_400)
LOST = replace(OLD, revoked_s=NOW_S - 5, reason="stolen")
BOX = Device("box-17", "S17", "", "line-7", NOW_S - 86_400)


def judged(known: Known = GOOD, asked: Asked = ASKED, **changes: Any) -> Verdict:  # noqa: ANN401 -- facts of every kind
    """Return the last verdict on the good case with these facts changed."""
    return judge_enrolment(asked, replace(known, **changes), NOW)[-1]


def test_a_good_request_passes_every_step_in_the_order_of_the_contract() -> None:
    known = GOOD

    verdicts = judge_enrolment(ASKED, known, NOW)

    assert [(each.step, each.passed) for each in verdicts] == [(step, True) for step in STEPS]


def test_nothing_is_judged_after_the_first_step_that_failed() -> None:
    known = replace(GOOD, claim=None, is_free=False)

    verdicts = judge_enrolment(ASKED, known, NOW)

    assert [each.step for each in verdicts] == ["payload", "claim"]


@pytest.mark.parametrize(
    ("changes", "step", "word"),
    [
        ({"claim": None}, "claim", "inventory has no claim 'line-7'"),
        ({"is_withdrawn": True}, "claim", "was revoked"),
        ({"enrolled": 2}, "claim", "raise its limit"),
        (
            {"claim": CLAIM.model_copy(update={"expires": dt.date(2026, 11, 19)})},
            "claim_not_expired",
            "2026-11-19",
        ),
        ({"token": None}, "token", "none of the claim"),
        ({"token": replace(UNUSED, claim="line-8")}, "token", "none of the claim"),
        ({"token": replace(UNUSED, expires_s=NOW_S)}, "token", "was good until 2026-11-20"),
        ({"token": replace(UNUSED, spent_s=NOW_S - 9, spent_by="box-3")}, "token", "used up by 'box-3'"),
        ({"is_listed": False}, "serial", "no device of the inventory has the serial 'S17'"),
        ({"twin": "box-S17"}, "serial", "is enrolled as box-S17 already"),
        ({"device": replace(BOX, removed_s=NOW_S - 5)}, "serial", "left the fleet on 2026-11-20"),
        ({"device": BOX, "history": History((OLD,))}, "not_enrolled_yet", "promptd-fleet readmit box-17"),
        (
            {"device": BOX, "history": History((), LOST)},
            "not_enrolled_yet",
            "2026-11-20 (stolen); to let it in",
        ),
        ({"is_free": False}, "name", "can be called 'box-17'"),
        ({"device": replace(BOX, serial="S18")}, "name", "serial 'S18' already"),
    ],
)
def test_a_step_fails_with_a_reason_that_says_what_to_do(
    changes: dict[str, Any], step: str, word: str
) -> None:
    verdict = judged(**changes)

    assert (verdict.step, verdict.passed) == (step, False)
    assert word in verdict.reason


@pytest.mark.parametrize(
    ("changes", "step", "word"),
    [
        ({"token": ""}, "token", "shows no one-time token"),
        ({"serial": ""}, "serial", "identity.serial"),
        ({"key_fault": "it is not signed by its key"}, "request_signature", "not signed"),
        ({"name": "box-18"}, "name", "is made for 'box-18'"),
    ],
)
def test_what_a_box_asks_can_be_wrong_too(changes: dict[str, Any], step: str, word: str) -> None:
    asked = replace(ASKED, **changes)

    verdict = judged(asked=asked)

    assert (verdict.step, verdict.passed) == (step, False)
    assert word in verdict.reason


@pytest.mark.parametrize(("needs", "is_listed", "token"), [("serial", True, ""), ("token", False, "a token")])
def test_a_claim_may_be_content_with_a_serial_or_a_token(needs: str, token: str, *, is_listed: bool) -> None:
    claim = CLAIM.model_copy(update={"needs": needs})

    verdict = judged(asked=replace(ASKED, token=token), claim=claim, is_listed=is_listed)

    assert (verdict.step, verdict.passed) == ("name", True)


def test_a_repeated_request_is_no_duplicate_even_when_claim_and_token_are_used_up_by_it() -> None:
    own = replace(OLD, key_digest=ASKED.key_digest, not_after_s=NOW_S + 9)
    token = replace(UNUSED, spent_s=NOW_S - 9, spent_by="box-17")
    expired = CLAIM.model_copy(update={"expires": dt.date(2026, 1, 1)})

    verdict = judged(device=BOX, history=History((own,)), token=token, enrolled=2, claim=expired)

    assert verdict.passed


def test_a_box_that_was_away_proves_itself_with_its_old_key() -> None:
    asked = replace(ASKED, proof=Proven("ab12", is_signed=True))
    token = replace(UNUSED, spent_s=NOW_S - 9, spent_by="box-17")

    verdict = judged(asked=asked, device=BOX, history=History((OLD,)), token=token, enrolled=2)

    assert verdict.passed


@pytest.mark.parametrize(
    ("proof", "word"),
    [
        (Proven("ab13", is_signed=True), "does not have"),
        (Proven("ab12", is_signed=False), "not signed by the old key"),
    ],
)
def test_a_proof_by_another_certificate_or_key_proves_nothing(proof: Proven, word: str) -> None:
    asked = replace(ASKED, proof=proof)

    verdict = judged(asked=asked, device=BOX, history=History((OLD,)))

    assert (verdict.step, verdict.passed) == ("not_enrolled_yet", False)
    assert word in verdict.reason


@pytest.mark.parametrize(
    ("known", "step"),
    [
        (KnownDevice("box-17", None, History((OLD,))), "device"),
        (KnownDevice("box-17", replace(BOX, removed_s=1), History((OLD,))), "device"),
        (KnownDevice("box-17", BOX, History((), LOST)), "device"),
    ],
)
def test_who_left_the_fleet_or_was_revoked_gets_no_next_certificate(known: KnownDevice, step: str) -> None:
    verdicts = judge_renewal(ASKED, known)

    assert (verdicts[-1].step, verdicts[-1].passed) == (step, False)


def test_a_device_of_the_fleet_gets_its_next_certificate() -> None:
    known = KnownDevice("box-17", BOX, History((OLD,)))

    verdicts = judge_renewal(ASKED, known)

    assert all(each.passed for each in verdicts)
