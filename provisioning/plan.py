"""What would change: the inventory compared with what is there. Pure: what is shown is what is done."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from provisioning.facts import (
    BEGUN,
    BROKER,
    BROUGHT,
    BUNDLED,
    CERTIFIED,
    DONE,
    HOSTS,
    INSTALLED,
    REVOCATIONS,
    STARTED,
    Facts,
)
from provisioning.inventory import FleetDevice, Inventory, Ssh
from provisioning.keeping import Keeping
from provisioning.registry_rows import INVENTORY, Certificate
from provisioning.roles import Role

RENEWED_WITH_LEFT = 1 / 3
"""Certificates that do not renew themselves are made anew when this share of their life is left."""
LISTS_RENEWED_AFTER_S = 7 * 24 * 3600
"""A revocation list ends too, and a broker lets nobody in without a good one."""


class Kind(StrEnum):
    """What a step does, in the order in which steps are done."""

    AUTHORITY = "authority"
    CERTIFICATE = "certificate"
    REGISTER = "register"
    REMOVE = "remove"
    REVOKE = "revoke"
    REVOCATIONS = "revocations"
    BROKER = "broker"
    BUNDLE = "bundle"
    INSTALL = "install"
    CERTIFY = "certify"
    START = "start"
    LOOK = "look"
    """Nothing is done; a person should look."""


SIGNED = (Kind.CERTIFICATE, Kind.REVOCATIONS, Kind.CERTIFY)
"""Steps that need the authority, and its passphrase."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do."""

    kind: Kind
    subject: str
    why: str


def plan(
    inventory: Inventory, facts: Facts, *, revoke: bool = False, again: frozenset[str] = frozenset()
) -> tuple[Step, ...]:
    """Return what has to be done, in order; nothing when the fleet is as the inventory says.

    `revoke` also withdraws the certificates of whoever left the inventory; without it that is only shown.
    `again` names members that get a new certificate whatever they have, also when it was revoked.
    """
    steps = [*_authority(facts), *_certificates(facts, again), *_registered(inventory, facts, again)]
    steps += _left(inventory, facts, revoke=revoke)
    steps += _revocations(facts, steps)
    steps += _broker(facts, steps)
    for name, device in inventory.devices.items():
        steps += _device(name, device, facts, inventory.ssh, is_again=name in again)
    order = list(Kind)
    return tuple(sorted(steps, key=lambda step: order.index(step.kind)))


def installed_digest(told: str, offered: str) -> str:
    """Return what the mark of an installed box says: what it was told, and the bundles it was offered."""
    return f"{told}+{offered}" if offered else told


def is_done(steps: tuple[Step, ...]) -> bool:
    """Tell whether nothing is left to be done, though a person may have to look at something."""
    return all(step.kind is Kind.LOOK for step in steps)


def _authority(facts: Facts) -> Iterator[Step]:
    if not facts.authorities:
        yield Step(Kind.AUTHORITY, "authority", "there is none yet")


def _certificates(facts: Facts, again: frozenset[str]) -> Iterator[Step]:
    for keeping in facts.keepings:
        if keeping.until_s <= facts.now_s:
            continue
        latest = facts.latest.get(keeping.holder)
        is_revoked = latest is not None and latest.revoked_s is not None
        if keeping.holder in again or (is_revoked and keeping.party is Role.BROKER):
            yield Step(Kind.CERTIFICATE, keeping.holder, "it was asked for")
        elif latest and is_revoked:
            yield Step(Kind.LOOK, keeping.holder, _revoked(latest, f"apply --again {keeping.holder}"))
        elif why := _needs_new(keeping, latest, facts):
            yield Step(Kind.CERTIFICATE, keeping.holder, why)


def _needs_new(keeping: Keeping, latest: Certificate | None, facts: Facts) -> str:
    if latest is None:
        return "it has no certificate"
    if keeping.hosts and facts.mark(keeping.holder, HOSTS) != " ".join(keeping.hosts):
        return "it is made for other names"
    if keeping.holder not in facts.kept:
        return "key or certificate is missing in the fleet's folder"
    life_s, left_s = latest.not_after_s - latest.not_before_s, latest.not_after_s - facts.now_s
    is_due = left_s < life_s * RENEWED_WITH_LEFT and latest.not_after_s < keeping.until_s
    return f"it is good for {_days(left_s)} more only" if is_due else ""


def _registered(inventory: Inventory, facts: Facts, again: frozenset[str]) -> Iterator[Step]:
    for name, device in inventory.devices.items():
        known, latest = facts.devices.get(name), facts.latest.get(name)
        if latest and latest.revoked_s is not None and name not in again:
            continue
        if known is None:
            why = "it was asked for" if name in again else "it is new in the inventory"
            yield Step(Kind.REGISTER, name, why)
        elif device.serial not in ("", known.serial):
            serials = f"its serial is {device.serial!r} now, it was {known.serial!r}"
            is_another = f"; if that is another box, first: promptd-fleet revoke {name}"
            yield Step(Kind.REGISTER, name, serials + (is_another if known.serial else ""))
        elif device.group != known.group:
            yield Step(Kind.REGISTER, name, f"its group is {device.group!r} now, it was {known.group!r}")


def _left(inventory: Inventory, facts: Facts, *, revoke: bool) -> Iterator[Step]:
    """Return what becomes of those who stand in the registry, but no longer in the inventory."""
    for name, device in facts.devices.items():
        if device.origin == INVENTORY and name not in inventory.devices:
            yield Step(Kind.REMOVE, name, "it left the inventory")
    listed = {*inventory.devices, *(keeping.holder for keeping in facts.keepings)}
    for holder, latest in facts.latest.items():
        origin = facts.devices[holder].origin if holder in facts.devices else INVENTORY
        has_left = holder not in listed and origin == INVENTORY and latest.party is not Role.BROKER
        if has_left and latest.is_good(facts.now_s):
            left = _days(latest.not_after_s - facts.now_s)
            why = f"it left the inventory, and its certificate is good for {left} more"
            advice = "" if revoke else "; apply --revoke withdraws it"
            yield Step(Kind.REVOKE if revoke else Kind.LOOK, holder, why + advice)


def _revocations(facts: Facts, steps: list[Step]) -> Iterator[Step]:
    mark = facts.marks.get((BROKER, REVOCATIONS))
    if not facts.revocations:
        return
    if any(step.kind in (Kind.AUTHORITY, Kind.REVOKE) for step in steps) or mark is None:
        yield Step(Kind.REVOCATIONS, BROKER, "its revocation list has to be written")
    elif mark.digest != facts.revocations:
        yield Step(Kind.REVOCATIONS, BROKER, "certificates were revoked")
    elif facts.now_s - mark.done_s > LISTS_RENEWED_AFTER_S:
        yield Step(Kind.REVOCATIONS, BROKER, "its revocation list is a week old")


def _broker(facts: Facts, steps: list[Step]) -> Iterator[Step]:
    changes = (Kind.AUTHORITY, Kind.REMOVE, Kind.REVOKE, Kind.REVOCATIONS)
    has_new = any(step.kind in changes for step in steps)
    own = {keeping.holder for keeping in facts.keepings if keeping.party is Role.BROKER}
    cut_off = {holder for holder, latest in facts.latest.items() if latest.revoked_s is not None}
    has_new = has_new or any(
        step.kind is Kind.CERTIFICATE and step.subject in own | cut_off for step in steps
    )
    brought = facts.mark(BROKER, BROUGHT)
    if not brought:
        yield Step(Kind.BROKER, BROKER, "its configuration and rules were never written")
    elif has_new or brought != facts.for_broker:
        yield Step(Kind.BROKER, BROKER, "its configuration, rules or certificate change")


def _device(name: str, device: FleetDevice, facts: Facts, ssh: Ssh, *, is_again: bool) -> Iterator[Step]:
    latest = facts.latest.get(name)
    if latest and latest.revoked_s is not None and not is_again:
        is_ours = ssh.installs if device.address else name not in facts.claimed
        yield Step(Kind.LOOK, name, _revoked(latest, f"{'apply --again' if is_ours else 'readmit'} {name}"))
        return
    is_certified = latest is not None and latest.is_good(facts.now_s)
    if not device.address:
        if why := _needs_bundle(name, facts, is_certified=is_certified and not is_again):
            yield Step(Kind.BUNDLE, name, why)
    elif ssh.installs:
        yield from _by_ssh(name, latest, facts, is_again=is_again, is_certified=is_certified)


def _by_ssh(
    name: str, latest: Certificate | None, facts: Facts, *, is_again: bool, is_certified: bool
) -> Iterator[Step]:
    installed = facts.mark(name, INSTALLED)
    is_installed = installed == installed_digest(facts.told[name], facts.offered(name))
    is_brought = facts.mark(name, CERTIFIED) != BEGUN
    has_pair = is_certified and is_brought and not is_again
    if not is_installed:
        yield Step(Kind.INSTALL, name, _why_installed(name, facts, is_again=is_again))
    if not has_pair:
        yield Step(Kind.CERTIFY, name, _why_certified(latest, is_again=is_again, is_brought=is_brought))
    if not is_installed or not has_pair:
        yield Step(Kind.START, name, "it changes")
    elif facts.mark(name, STARTED) != DONE:
        yield Step(Kind.START, name, "it did not become ready")


def _why_installed(name: str, facts: Facts, *, is_again: bool) -> str:
    if facts.mark(name, INSTALLED) and not is_again:
        return "promptd or its settings change"
    missing = "" if facts.offered(name) else "; there is no bundle in --dist, so it must have promptd already"
    return ("it was asked for" if is_again else "it was never set up") + missing


def _why_certified(latest: Certificate | None, *, is_again: bool, is_brought: bool) -> str:
    if is_again:
        return "it was asked for"
    if latest is None:
        return "it has no certificate"
    return "its certificate is over" if is_brought else "its certificate was signed, but never came there"


def _needs_bundle(name: str, facts: Facts, *, is_certified: bool) -> str:
    bundled = facts.mark(name, BUNDLED)
    if not is_certified and (not bundled or name not in facts.bundles):
        return "it has no bundle, and no address to be reached at"
    return "what it is told changes" if bundled and bundled != facts.told[name] else ""


def _revoked(latest: Certificate, command: str) -> str:
    why = f" ({latest.reason})" if latest.reason else ""
    return f"its certificate was revoked{why}; {command} lets it in again"


def _days(left_s: float) -> str:
    days = max(0, round(left_s / 86_400))
    return "1 day" if days == 1 else f"{days} days"
