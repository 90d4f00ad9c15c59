"""The judgement on a request, step by step. Pure: what was asked and what is known in, verdicts out.

Every reason is one sentence that a person at the box can act on or pass on. Whoever asks twice with the same
key asks once: no step refuses a repetition of what was granted.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.wire.certificates import Verdict
from provisioning.enrolment.asked import Asked
from provisioning.inventory import Claim
from provisioning.registry_rows import Certificate, Device, Token


@dataclass(frozen=True, slots=True)
class History:
    """What was handed out under one name."""

    certificates: tuple[Certificate, ...] = ()
    """Since the last revocation, the oldest first; also what is over."""
    shut_out_by: Certificate | None = None
    """The revoked certificate that keeps whoever has this name out, until somebody lets it in again."""


@dataclass(frozen=True, slots=True)
class Known:
    """What inventory and registry say of a request for a first certificate."""

    claim_name: str
    """As in the inventory."""
    claim: Claim | None
    """None when the inventory has no such claim."""
    is_withdrawn: bool
    """Whether the claim certificate was revoked."""
    enrolled: int
    """How many boxes the claim has let in."""
    name: str
    """What the box is, or would be, called; empty when no entry lists its serial and the claim names none."""
    is_listed: bool
    """Whether a device entry of the inventory names this serial."""
    is_free: bool
    """Whether the inventory lets this box be called so."""
    wants_name: bool
    """Whether the authority takes the name from the request."""
    device: Device | None
    """Who has this name in the registry."""
    twin: str
    """Who has this serial in the registry under another name; empty when nobody has."""
    history: History
    token: Token | None
    """What the registry knows of the token that was shown."""


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """What the registry says of a device that asks for its next certificate."""

    name: str
    device: Device | None
    history: History


@dataclass(frozen=True, slots=True)
class Case:
    """One request for a first certificate, to be judged."""

    asked: Asked
    known: Known
    now: dt.datetime

    @property
    def is_repeated(self) -> bool:
        """Whether this very key has got a certificate under this name."""
        return any(each.key_digest == self.asked.key_digest for each in self.known.history.certificates)


Judge = Callable[[Case], str]
"""Returns why not, or an empty text."""


def judge_enrolment(asked: Asked, known: Known, now: dt.datetime) -> list[Verdict]:
    """Return the verdicts on a request for a first certificate, up to the first that failed."""
    case = Case(asked, known, now)
    return _judged((name, judge(case)) for name, judge in ENROLMENT)


def judge_renewal(asked: Asked, known: KnownDevice) -> list[Verdict]:
    """Return the verdicts on a device's request for its next certificate, up to the first that failed.

    The name needs no proof: it stands in the topic, and the broker lets only this device publish there.
    """
    return _judged(
        (
            ("payload", ""),
            ("device", _belongs(known)),
            ("request_signature", asked.key_fault),
            ("name", misnamed(asked, known.name)),
        )
    )


def _judged(steps: Iterable[tuple[str, str]]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for step, reason in steps:
        verdicts.append(Verdict(step=step, passed=not reason, reason=reason))
        if reason:
            break
    return verdicts


def _claim(case: Case) -> str:
    known = case.known
    if known.claim is None:
        return (
            f"the inventory has no claim {known.claim_name!r}; write it there, or give the box another claim"
        )
    if known.is_withdrawn:
        return f"the claim {known.claim_name!r} was revoked; give the box another claim"
    is_new = known.device is None and not case.is_repeated
    if is_new and known.enrolled >= known.claim.limit:
        return (
            f"the claim {known.claim_name!r} has let in {known.enrolled} boxes already; "
            f"raise its limit in the inventory"
        )
    return ""


def _not_expired(case: Case) -> str:
    claim = case.known.claim
    if claim and case.now >= claim.expires_at and not case.is_repeated:
        return (
            f"the claim {case.known.claim_name!r} was good until {claim.expires.isoformat()}; "
            f"write a later day into the inventory and apply it, or give the box another claim"
        )
    return ""


def _token(case: Case) -> str:
    token, known = case.known.token, case.known
    if case.is_repeated or known.claim is None or known.claim.needs == "serial":
        return ""
    make = f"make one with: promptd-fleet token {known.claim_name}"
    if not case.asked.token:
        return f"the box shows no one-time token; {make}, and put it into identity.token_file of the box"
    if token is None or token.claim != known.claim_name:
        return f"the token is none of the claim {known.claim_name!r}; {make}"
    if token.spent_s is not None and token.spent_by != known.name:
        return f"the token was used up by {token.spent_by!r}; {make}, and give every box its own"
    if token.spent_s is None and case.now.timestamp() >= token.expires_s:
        return f"the token was good until {_day(token.expires_s)}; {make}"
    return ""


def _serial(case: Case) -> str:
    known, serial = case.known, case.asked.serial
    if not serial:
        return "the box does not know its serial number; set identity.serial in its promptd.toml"
    if known.device and known.device.removed_s is not None:
        day = _day(known.device.removed_s)
        return f"{known.name} left the fleet on {day}; to let it in again: promptd-fleet readmit {known.name}"
    if known.twin:
        return (
            f"the serial {serial!r} is enrolled as {known.twin} already; list it in the inventory under that "
            f"name, or set identity.serial of this box if it is another one"
        )
    if known.claim and known.claim.needs != "token" and not known.is_listed:
        return f"no device of the inventory has the serial {serial!r}; write it there and apply it"
    return ""


def _not_enrolled_yet(case: Case) -> str:
    known, proof, given = case.known, case.asked.proof, case.known.history.certificates
    if known.history.shut_out_by:
        return _shut_out(known.name, known.history.shut_out_by)
    if not given or case.is_repeated:
        return ""
    if proof is None:
        return f"another box is enrolled as {known.name} since {_day(given[-1].issued_s)}; {_two_ways(case)}"
    if proof.number not in {each.number for each in given}:
        return f"the proof is by a certificate that {known.name} does not have; {_two_ways(case)}"
    if not proof.is_signed:
        return f"the proof is not signed by the old key of {known.name}; {_two_ways(case)}"
    return ""


def _shut_out(name: str, revoked: Certificate) -> str:
    day, why = _day(revoked.revoked_s or 0), f" ({revoked.reason})" if revoked.reason else ""
    return f"{name} was revoked on {day}{why}; to let it in again: promptd-fleet readmit {name}"


def _two_ways(case: Case) -> str:
    """Return what to do about a box without proof: nobody can tell from here which of the two it is."""
    return (
        f"if it is this box with a new disk, let it in again: promptd-fleet readmit {case.known.name}; "
        f"if not, two boxes have the serial {case.asked.serial!r}: set identity.serial of this one"
    )


def _signature(case: Case) -> str:
    return case.asked.key_fault


def _name(case: Case) -> str:
    known = case.known
    if not known.is_free:
        return (
            f"no box can be called {known.name!r}; list the serial {case.asked.serial!r} in the inventory "
            f"under a name of its own"
        )
    if known.device and known.device.serial not in ("", case.asked.serial):
        return (
            f"{known.name} is the box with the serial {known.device.serial!r} already; list the serial "
            f"{case.asked.serial!r} in the inventory under another name"
        )
    return misnamed(case.asked, known.name, wants_name=known.wants_name)


ENROLMENT: tuple[tuple[str, Judge], ...] = (
    ("payload", lambda _: ""),
    ("claim", _claim),
    ("claim_not_expired", _not_expired),
    ("token", _token),
    ("serial", _serial),
    ("not_enrolled_yet", _not_enrolled_yet),
    ("request_signature", _signature),
    ("name", _name),
)
"""The order of the steps is part of the wire contract; `payload` has passed when there is a case at all."""


def _belongs(known: KnownDevice) -> str:
    if known.device is None or known.device.removed_s is not None:
        return f"{known.name} is no device of this fleet; write it into the inventory and apply it"
    return _shut_out(known.name, known.history.shut_out_by) if known.history.shut_out_by else ""


def misnamed(asked: Asked, name: str, *, wants_name: bool = False) -> str:
    """Return what is wrong with the name in a request; a box that hears its name asks again with it."""
    if not asked.name and wants_name:
        return f"the authority takes the name from the request, which has none; the box is {name}"
    if asked.name not in ("", name):
        return f"the request is made for {asked.name!r}, but this box is {name}"
    return ""


def _day(moment_s: float) -> str:
    return dt.datetime.fromtimestamp(moment_s, dt.UTC).date().isoformat()
