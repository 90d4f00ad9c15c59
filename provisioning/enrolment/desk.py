"""One request, one answer: judge, sign, note, hand out. Knows no MQTT.

The authority signs before the registry knows of it, because it may take its time and may be elsewhere; what
was true before is judged again within the transaction that notes the certificate. A process that ends in
between leaves a certificate nobody has: the box asks again with the same key, and gets another one. After a
later end the next process finds the certificate in the registry, and hands it out.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import structlog

from agent.wire.certificates import CertificateReply, Verdict
from agent.wire.errors import AgentError
from provisioning.audit import OK, REFUSED, Audit
from provisioning.authority.errors import RequestRefusedError
from provisioning.authority.registrar import certificate_row
from provisioning.authority.signer import Issued, Signer, Subject
from provisioning.device_settings import settings_of, toml
from provisioning.enrolment.asked import UnreadableError, read
from provisioning.enrolment.cases import Case, Enrolment, Renewal
from provisioning.enrolment.door import Rate
from provisioning.enrolment.verdicts import misnamed
from provisioning.inventory import Inventory
from provisioning.registry import Registry
from provisioning.registry_rows import Certificate
from provisioning.roles import Role

LOG = structlog.get_logger("promptd.enrolment")

SIGNING_RETRY_S = 60.0
"""When an authority that could not sign may be asked again."""
NOTED_AT_ONCE, NOTED_PER_MINUTE = 100, 6
"""Refusals of one claim or device that the audit log notes: a thief with a claim must not fill the disk."""
RENAMED_RETRY_S = 5.0
"""For a box too old to take its name from the reply."""


class Desk:
    """Answers requests, one at a time.

    `trusted` turns the signer's authorities into those of the broker; `enrolled` is called when a box
    has got its first certificate.
    """

    def __init__(
        self,
        inventory: Callable[[], Inventory],
        registry: Registry,
        signer: Signer,
        audit: Audit,
        trusted: Callable[[str], str] = lambda authorities: authorities,
        enrolled: Callable[[], None] = lambda: None,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._inventory = inventory
        self._registry = registry
        self._signer = signer
        self._audit = audit
        self._trusted = trusted
        self._tell_enrolled = enrolled
        self._now = now
        self._noting = Rate(NOTED_AT_ONCE, NOTED_PER_MINUTE)

    def enrol(self, user: str, payload: bytes) -> CertificateReply:
        """Answer a box that came with the claim of this user name and wants its first certificate."""
        try:
            asked = read(payload)
        except UnreadableError as error:
            return self._refuse(Enrolment.action, user, [_unreadable(error)])
        inventory = self._inventory()
        return self._decide(Enrolment(inventory, self._registry, user, asked), inventory)

    def renew(self, device: str, payload: bytes) -> CertificateReply:
        """Answer a device that wants its next certificate."""
        try:
            asked = read(payload)
        except UnreadableError as error:
            return self._refuse(Renewal.action, device, [_unreadable(error)])
        return self._decide(Renewal(self._registry, device, asked), self._inventory())

    def _decide(self, case: Case, inventory: Inventory) -> CertificateReply:
        verdicts = case.judge(self._now())
        if not verdicts[-1].passed:
            return self._refuse_case(case, verdicts)
        if held := self._held(case):
            return self._hand_out(case, inventory, verdicts, held.pem)
        try:
            issued = self._signer.sign(
                case.asked.request, Subject(case.name, Role.DEVICE), inventory.authority.days
            )
        except AgentError as error:
            verdicts.append(Verdict(step="signing", passed=False, reason=str(error)))
            retry_s = None if isinstance(error, RequestRefusedError) else SIGNING_RETRY_S
            return self._refuse(case.action, case.name, verdicts, retry_s)
        with self._registry.changing():
            verdicts = case.judge(self._now())
            if verdicts[-1].passed:
                self._note(case, issued)
        if not verdicts[-1].passed:
            return self._refuse_case(case, verdicts)
        if case.action == Enrolment.action:
            self._tell_enrolled()
        return self._hand_out(case, inventory, verdicts, issued.chain_pem)

    def _held(self, case: Case) -> Certificate | None:
        """Return the good certificate that this very key has got already."""
        now_s = self._now().timestamp()
        certificates = reversed(self._registry.certificates(case.name))
        mine = (each for each in certificates if each.key_digest == case.asked.key_digest)
        return next((each for each in mine if each.is_good(now_s)), None)

    def _note(self, case: Case, issued: Issued) -> None:
        """Note what was signed; the audit log has it before the registry, and the registry before the box."""
        now = self._now()
        case.note(now)
        row = replace(certificate_row(issued, case.name, Role.DEVICE), issued_s=now.timestamp())
        self._registry.add_certificate(row)
        self._audit.add(
            case.action, case.name, OK, by=case.subject, serial=case.asked.serial, number=row.number
        )

    def _hand_out(
        self, case: Case, inventory: Inventory, verdicts: list[Verdict], chain: str
    ) -> CertificateReply:
        LOG.info(case.action, subject=case.subject, device=case.name, serial=case.asked.serial, outcome=OK)
        return CertificateReply(
            accepted=True,
            verdicts=(*verdicts, Verdict(step="signing", passed=True)),
            certificate=chain,
            authorities=self._trusted(self._signer.authorities),
            settings=toml(settings_of(inventory, case.name, case.group)),
        )

    def _refuse_case(self, case: Case, verdicts: list[Verdict]) -> CertificateReply:
        """Refuse; a box that only asks for the wrong name hears the right one."""
        serial, failed = case.asked.serial, verdicts[-1]
        if failed.reason == misnamed(case.asked, case.name, wants_name=case.wants_name):
            LOG.info(case.action, subject=case.subject, outcome="renamed", device=case.name, serial=serial)
            return CertificateReply(
                accepted=False, verdicts=tuple(verdicts), name=case.name, retry_after_s=RENAMED_RETRY_S
            )
        return self._refuse(case.action, case.subject, verdicts, serial=serial)

    def _refuse(
        self,
        action: str,
        subject: str,
        verdicts: list[Verdict],
        retry_after_s: float | None = None,
        **details: str,
    ) -> CertificateReply:
        failed = verdicts[-1]
        LOG.warning(
            action, subject=subject, outcome=REFUSED, step=failed.step, reason=failed.reason, **details
        )
        if not self._noting.wait_s(subject):
            self._audit.add(action, subject, REFUSED, step=failed.step, reason=failed.reason, **details)
        return CertificateReply(accepted=False, verdicts=tuple(verdicts), retry_after_s=retry_after_s)


def _unreadable(error: UnreadableError) -> Verdict:
    return Verdict(step="payload", passed=False, reason=str(error))
