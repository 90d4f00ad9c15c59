"""What is known of a request, looked up: an enrolment by its claim and serial, a renewal by its device."""

import datetime as dt
from dataclasses import replace
from typing import Protocol

from agent.wire.access import CLAIM_PREFIX
from agent.wire.certificates import Verdict
from provisioning.enrolment.asked import Asked
from provisioning.enrolment.verdicts import History, Known, KnownDevice, judge_enrolment, judge_renewal
from provisioning.inventory import Inventory
from provisioning.registry import Registry
from provisioning.registry_rows import Device

NAMED_BY_THE_REQUEST = ("est", "command")
"""Kinds of authority that may certify what the request calls itself (RFC 7030, section 4.2.1)."""
READMITTED = "readmitted"
"""The mark of a device that may enrol again without proof; it holds the number of its last certificate."""


class Case(Protocol):
    """One request that can be read."""

    action: str
    """For the audit log."""
    subject: str
    """Who asks, for the audit log: a device, or the user name of a claim."""
    asked: Asked
    wants_name: bool
    """Whether the authority takes the name from the request."""

    @property
    def name(self) -> str:
        """The device."""
        ...

    @property
    def group(self) -> str:
        """Its group, where the inventory does not name the device."""
        ...

    def judge(self, now: dt.datetime) -> list[Verdict]:
        """Look everything up, and return the verdicts up to the first that failed."""
        ...

    def note(self, now: dt.datetime) -> None:
        """Note in the registry what a certificate changes besides itself; inside its transaction."""


class Enrolment:
    """A box that came with a claim and wants its first certificate, or one after a long time away."""

    action = "enrol"

    def __init__(self, inventory: Inventory, registry: Registry, user: str, asked: Asked) -> None:
        self.subject, self.asked = user, asked
        self._registry = registry
        # A device may publish below its own name too, which might be that of a claim without the prefix.
        self._claim_name = user.removeprefix(CLAIM_PREFIX)
        self._claim = inventory.claims.get(self._claim_name) if user.startswith(CLAIM_PREFIX) else None
        listed = inventory.device_by_serial(asked.serial)
        self._is_listed = bool(listed)
        self.name = listed or (self._claim.device_name(asked.serial) if self._claim else "")
        self._is_free = bool(listed) or (inventory.is_free(self.name) and self.name not in inventory.devices)
        self.wants_name = inventory.authority.kind in NAMED_BY_THE_REQUEST
        entry = inventory.devices.get(listed)
        self.group = entry.group if entry else self._claim.group if self._claim else ""

    def judge(self, now: dt.datetime) -> list[Verdict]:
        """Look everything up, and return the verdicts up to the first that failed."""
        return judge_enrolment(self.asked, self._known(), now)

    def note(self, now: dt.datetime) -> None:
        """Take the box in, and use its token up."""
        now_s = now.timestamp()
        known = self._registry.device(self.name)
        fresh = known or Device(self.name, "", self.group, self._claim_name, now_s)
        if not fresh.serial:
            self._registry.add_device(replace(fresh, serial=self.asked.serial))
        if self.asked.token:
            self._registry.spend_token(self.asked.token, self._claim_name, self.name, now_s)

    def _known(self) -> Known:
        same_serial = self._registry.device_by_serial(self.asked.serial)
        return Known(
            claim_name=self._claim_name,
            claim=self._claim,
            is_withdrawn=_is_withdrawn(self._registry, self.subject),
            enrolled=self._registry.enrolled(self._claim_name),
            name=self.name,
            is_listed=self._is_listed,
            is_free=self._is_free,
            wants_name=self.wants_name,
            device=self._registry.device(self.name),
            twin=same_serial.name if same_serial and same_serial.name != self.name else "",
            history=_history(self._registry, self.name),
            token=self._registry.token(self.asked.token) if self.asked.token else None,
        )


class Renewal:
    """A device that wants its next certificate; the broker has checked that it is that device."""

    action, group, wants_name = "renew", "", False

    def __init__(self, registry: Registry, device: str, asked: Asked) -> None:
        self.subject, self.name, self.asked = device, device, asked
        self._registry = registry

    def judge(self, now: dt.datetime) -> list[Verdict]:  # noqa: ARG002 -- as a Case; a renewal has no deadline
        """Look everything up, and return the verdicts up to the first that failed."""
        device, history = self._registry.device(self.name), _history(self._registry, self.name)
        return judge_renewal(self.asked, KnownDevice(self.name, device, history))

    def note(self, now: dt.datetime) -> None:
        """Leave everything as it is: the certificate itself is all that changes."""


def _history(registry: Registry, name: str) -> History:
    """Return what counts of all that was handed out under a name.

    A revocation ends what was before it and shuts out whoever has the name; a readmission ends both.
    """
    certificates, readmitted = registry.certificates(name), registry.marked(name, READMITTED)
    ends = [
        place
        for place, each in enumerate(certificates)
        if each.revoked_s is not None or each.number == readmitted
    ]
    since = certificates[ends[-1] + 1 :] if ends else certificates
    is_shut_out = bool(ends) and not since and certificates[-1].number != readmitted
    return History(since, certificates[-1] if is_shut_out else None)


def _is_withdrawn(registry: Registry, user: str) -> bool:
    """Tell whether all certificates of a claim were revoked; one that the registry never saw is not."""
    certificates = registry.certificates(user)
    return bool(certificates) and all(each.revoked_s is not None for each in certificates)
