"""Zero touch: a box that holds a claim asks the provisioning service for a certificate, until it has one.

Settings are written first and the pair last: only the pair makes the box believe that it has a name. A power
cut in between leaves a box without a name, which asks again with the same key and gets the same answer.
"""

import datetime as dt
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pydantic import ValidationError

from agent import __version__
from agent.host.board_serial import board_serial
from agent.identity import pem
from agent.identity.asking import Asking
from agent.identity.claim import Claim
from agent.identity.pair import Pair, Pairs
from agent.identity.request import ASKED, REQUEST, Pending
from agent.identity.rests import Rests, jittered
from agent.settings import Settings
from agent.wire.certificates import CertificateReply, CertificateRequest, Verdict, digest_of
from agent.wire.errors import AgentError, ConfigError
from agent.wire.topics import EnrolmentTopics

LOG = structlog.get_logger("promptd.enrolment")

TICK_S, LOOK_S = 0.5, 5.0


class RefusedError(AgentError):
    """The provisioning service refuses this box, and only a person can mend that."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What enrolment needs of the process around it; the defaults need nothing."""

    keep_settings: Callable[[str], Settings]
    """Checks the settings that came along, writes them durably, and returns what they amount to."""
    beat: Callable[[], None] = lambda: None
    """Called every half second, as a sign of life."""
    show: Callable[[str], None] = lambda _: None
    """Shows in one line what enrolment waits for."""
    tell: Callable[[Verdict], None] = lambda _: None
    """Hears every verdict: our own first, then those of the service."""
    ask_now: threading.Event = field(default_factory=threading.Event)
    """Set from outside, it ends the present rest."""
    rests: Rests = field(default_factory=Rests)
    gives_up: bool = False
    """Whether a refusal that a person must mend ends it: for a person who looks on."""


def enrol(settings: Settings, pairs: Pairs, claim: Claim, around: Surroundings) -> Pair:
    """Ask until there is a valid pair, and return it. A field device never gives up.

    Raises:
        ConfigError: the claim or the settings cannot be used as they are.
        RefusedError: the service refuses, and `around` wants to know.
    """
    serial = settings.identity.serial or board_serial()
    if not serial:
        raise ConfigError("nothing on this box tells it from another; set identity.serial")
    topics = EnrolmentTopics(settings.broker.root, claim.name, uuid.uuid4().hex)
    LOG.info("enrolment_begun", claim=claim.name, serial=serial)
    around.tell(Verdict(step="claim_found", passed=True, reason=f"{claim.name} in {claim.cert_file}"))
    around.tell(Verdict(step="serial_found", passed=True, reason=serial))
    asks, had = _Asks(settings.identity_dir, pairs, claim.token, serial), pairs.valid
    with Asking(claim.broker(settings.broker), topics) as asking:
        return _Enrolment(asking, asks, claim, pairs, had, around).run()


class _Asks:
    """What this box asks with: the request that waits from before, or a new one."""

    def __init__(self, folder: Path, pairs: Pairs, token: str, serial: str) -> None:
        self._folder, self._pairs = folder, pairs
        self._token, self._serial = token, serial
        self.name = _waiting_name(folder)
        """What the request is made for; mostly empty, for the service decides it."""
        self.pending = Pending(folder, self.name)

    def rename(self, name: str) -> None:
        """Ask for this name from now on: not every authority lets the service decide it."""
        self.name, self.pending = name, Pending(self._folder, name)

    def payload(self) -> bytes:
        """Return the request as it travels; with a proof where there is an old key."""
        request = CertificateRequest(
            request=self.pending.pem(),
            agent=__version__,
            serial=self._serial,
            token=self._token,
            proof=self.pending.proof(self._pairs.current),
        )
        return request.model_dump_json().encode()


def _waiting_name(folder: Path) -> str:
    try:
        return pem.requested_name((folder / REQUEST / ASKED).read_bytes())
    except (OSError, ValueError):
        return ""


class _Enrolment:
    """One talk with the service, from the first question to the pair."""

    def __init__(
        self,
        asking: Asking,
        asks: _Asks,
        claim: Claim,
        pairs: Pairs,
        had: Pair | None,
        around: Surroundings,
    ) -> None:
        """Take what to ask with, and the valid pair that shall be replaced, if there is one."""
        self._asking, self._asks, self._claim = asking, asks, claim
        self._payload = asks.payload()
        self._pairs, self._had = pairs, had
        self._around = around
        self._unanswered = around.rests.when_unanswered()
        self._refused = around.rests.when_refused()
        self._ask_at_s = self._look_at_s = 0.0
        self._shown = ""

    def run(self) -> Pair:
        """Return the pair, from the service or, where only our clock was wrong, from before."""
        while True:
            self._around.beat()
            is_due = self._is_due
            if pair := self._valid_after_all(is_due=is_due):
                return pair
            self._go_on(is_due=is_due)
            payload = self._asking.hear(TICK_S)
            if payload is not None and (pair := self._heard(payload)):
                return pair

    def _valid_after_all(self, *, is_due: bool) -> Pair | None:
        """Return the pair from before once the clock was set right; looked at before anything is asked."""
        if time.monotonic() < self._look_at_s and not is_due:
            return None
        self._look_at_s = time.monotonic() + LOOK_S
        pair = self._pairs.valid
        return None if pair == self._had else pair

    @property
    def _is_due(self) -> bool:
        has_rested = time.monotonic() >= self._ask_at_s or self._around.ask_now.is_set()
        return has_rested and self._asking.is_listening

    def _go_on(self, *, is_due: bool) -> None:
        if obstacle := self._asking.obstacle:
            trouble = self._claim.trouble(dt.datetime.now(dt.UTC))
            self._show(f"enrolment waits: {trouble or obstacle}")
        if is_due:
            self._around.ask_now.clear()
            self._asking.ask(self._payload)
            self._rest(next(self._unanswered))
            self._show("enrolment has asked; the provisioning service has not answered yet")

    def _heard(self, payload: bytes) -> Pair | None:
        try:
            reply = CertificateReply.model_validate_json(payload)
        except ValidationError:
            LOG.warning("enrolment_reply_unreadable", payload_bytes=len(payload))
            return None
        if reply.request != digest_of(self._payload):
            LOG.debug("enrolment_reply_to_somebody_else")
            return None
        self._unanswered = self._around.rests.when_unanswered()
        for verdict in reply.verdicts:
            self._tell(verdict)
        if reply.accepted:
            return self._take(reply)
        self._be_refused(reply)
        return None

    def _take(self, reply: CertificateReply) -> Pair | None:
        """Keep what was handed out; what cannot be used is asked for again."""
        try:
            fresh = self._asks.pending.accept(
                self._pairs,
                reply,
                self._around.keep_settings,
                "remove device_id from this box's promptd.toml and environment",
            )
        except AgentError as error:
            self._tell(Verdict(step="keeping", passed=False, reason=str(error)))
            self._show(f"enrolment waits: {error}")
            return None
        self._tell(Verdict(step="keeping", passed=True))
        LOG.info("enrolled", device=fresh.name, not_after=fresh.not_after.isoformat())
        return fresh

    def _be_refused(self, reply: CertificateReply) -> None:
        if reply.name and reply.name != self._asks.name:
            self._asks.rename(reply.name)
            self._payload = self._asks.payload()
            self._rest(0)
            return
        reason = next((each.reason for each in reply.verdicts if not each.passed), "no reason was given")
        if reply.retry_after_s is not None:
            self._rest(jittered(reply.retry_after_s))
            self._show(f"enrolment is put off: {reason}")
            return
        if self._around.gives_up:
            raise RefusedError(reason)
        self._rest(next(self._refused))
        self._show(f"enrolment is refused: {reason}")

    def _rest(self, rest_s: float) -> None:
        self._ask_at_s = time.monotonic() + rest_s

    def _tell(self, verdict: Verdict) -> None:
        log = LOG.info if verdict.passed else LOG.warning
        log("enrolment_verdict", step=verdict.step, passed=verdict.passed, reason=verdict.reason)
        self._around.tell(verdict)

    def _show(self, line: str) -> None:
        if line != self._shown:
            self._shown = line
            self._around.show(line)
            LOG.info("enrolment_state", state=line)
