"""The renewal of this box's certificate: ask on the link that works, try what comes, keep it if it works.

The broker's thread tells what became of its links, and `trial.py` with which pair to begin the next one;
everything that touches the disk happens in `tick`, on the thread of whoever calls it. The old pair stays in
use until the broker has let us in with the new one.
"""

import datetime as dt
import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError

from agent import __version__
from agent.host.pulse import spawn
from agent.identity.lifetime import Lifetime
from agent.identity.pair import Pair, Pairs
from agent.identity.rests import Rests, jittered
from agent.identity.trial import Admitted, Failed, Spared, Trials, Verdict
from agent.settings import BrokerSettings
from agent.wire.certificates import CertificateReply, CertificateRequest, digest_of
from agent.wire.errors import AgentError
from agent.wire.events import event
from agent.wire.packets import Delivery, Publication, Publish
from agent.wire.topics import Topics

if TYPE_CHECKING:
    from agent.identity.request import Pending

LOG = structlog.get_logger("promptd.identity")

RESTS = Rests(unanswered_s=60, longest_unanswered_s=3600, refused_s=600, longest_refused_s=6 * 3600)
TRIAL_S = 20.0
"""How long a new pair may take until the broker has let us in with it."""
MAX_UNTOLD = 16


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The provisioning service knows us again."""

    pair: Pair


@dataclass(frozen=True, slots=True)
class Rejected:
    """Enrolment ended without a pair."""

    reason: str


News = Verdict | Enrolled | Rejected | bytes
"""The last one: a reply of the provisioning service, as it came."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a rotation needs of the process around it."""

    topics: Topics
    publish: Publish
    reconnect: Callable[[], None]
    """Lets the broker begin a new link at once."""
    wake: Callable[[], None] = lambda: None
    """Asks for a `tick` soon."""
    enrol: Callable[[], Pair] | None = None
    """Gets a pair by the claim and promotes it: for a certificate that is over, or was revoked."""


class Rotation:
    """The certificate in use, and the way to the next one."""

    def __init__(
        self,
        pairs: Pairs,
        pair: Pair,
        pending: "Pending",
        around: Surroundings,
        renew_at: float,
        rests: Rests = RESTS,
    ) -> None:
        """Take the pair in use; a pair that was being tried when the power went is tried again."""
        self._pairs, self._pending, self._around = pairs, pending, around
        self._renew_at = renew_at
        self._rests = rests
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._untold: deque[Publication] = deque(maxlen=MAX_UNTOLD)
        self._use(pair)
        self._trials = Trials(pair, self._tell, around.reconnect)
        self._is_enrolling = False
        self._candidate = pairs.next
        self._admitted: Pair | None = None
        self._trial_ends_s = self._ask_at_s = 0.0
        self._asked = self._refusal = ""
        self._unanswered, self._refusals = rests.when_unanswered(), rests.when_refused()

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Where the provisioning service answers."""
        return (self._around.topics.certificate_reply,)

    def credentials(self, settings: BrokerSettings) -> BrokerSettings:
        """Return the settings for the next link; called on the network thread."""
        return self._trials.credentials(settings)

    def connected(self) -> None:
        """Hear that the broker let us in; called on the network thread."""
        self._trials.connected()

    def disconnected(self, reason: str) -> None:
        """Hear that there is no link; called on the network thread."""
        self._trials.disconnected(reason)

    def received(self, delivery: Delivery) -> None:
        """Hear what the provisioning service says; a retained reply was meant for a request of long ago."""
        if not delivery.retain:
            self._tell(delivery.payload)

    def tick(self) -> None:
        """Do what is due; called often, from one thread. It writes a few small files at most."""
        while self._untold and self._around.publish(self._untold[0]) is not None:
            self._untold.popleft()
        try:
            while not self._news.empty():
                self._hear(self._news.get())
            self._go_on(dt.datetime.now(dt.UTC))
        except AgentError as error:
            self._be_refused("keeping", str(error))

    def body(self) -> dict[str, Any]:
        """Return the `certificate` part of the health report."""
        return self.facts() | {
            "days_left": round(self._life.days_left(dt.datetime.now(dt.UTC)), 2),
            "renews_after": self._life.due(self._renew_at).isoformat(timespec="seconds"),
            "refusal": self._refusal,
        }

    def facts(self) -> dict[str, Any]:
        """Return the `certificate` part of `info`."""
        return {
            "subject": self._pair.name,
            "serial_number": f"{self._life.serial_number:x}",
            "not_after": self._life.not_after.isoformat(timespec="seconds"),
        }

    def trouble(self) -> str:
        """Return what an operator should mend; empty when all is well."""
        trouble = self._life.trouble(dt.datetime.now(dt.UTC))
        return f"{trouble}: {self._refusal}" if trouble and self._refusal else trouble

    def _use(self, pair: Pair) -> None:
        self._pair = pair
        self._life = Lifetime(pair.not_before, pair.not_after, pair.serial_number)

    def _tell(self, news: News) -> None:
        self._news.put(news)
        self._around.wake()

    def _hear(self, news: News) -> None:
        match news:
            case Admitted(pair):
                self._use(pair)
                self._admitted, self._ask_at_s = pair, 0.0
            case Spared(pair):
                self._candidate = pair
                self._ask_at_s = time.monotonic() + self._shortened(self._rests.unanswered_s)
                self._refusal = "the broker went away while the new certificate was tried; it is tried again"
                LOG.info("certificate_tried_later", reason=self._refusal)
            case Failed(pair, reason):
                self._pairs.give_up(pair)
                self._be_refused(
                    "trial", f"with the new certificate there is no link ({reason}); the old one stays"
                )
            case Enrolled(pair):
                self._is_enrolling, self._candidate = False, None
                self._use(pair)
                self._trials.use(pair)
            case Rejected(reason):
                self._is_enrolling = False
                self._be_refused("enrolment", reason)
            case _:
                self._heard(news)

    def _go_on(self, now: dt.datetime) -> None:
        is_linked = self._trials.is_linked
        is_shut_out = self._life.is_over(now) or self._trials.is_revoked
        if self._trials.is_waiting:
            if time.monotonic() >= self._trial_ends_s:
                self._trial_ends_s += TRIAL_S
                self._trials.give_up(f"the broker has not let it in within {TRIAL_S:.0f} s")
        elif self._is_enrolling or time.monotonic() < self._ask_at_s:
            return
        elif self._admitted:
            self._promote(self._admitted)
        elif self._candidate and (is_linked or (is_shut_out and self._candidate.is_valid(now))):
            self._try(self._candidate)
        elif is_shut_out and not is_linked and self._around.enrol:  # somebody may have let us in again
            self._enrol(self._around.enrol)
        elif is_linked and now >= self._life.due(self._renew_at):
            self._ask()

    def _ask(self) -> None:
        """Ask for the next certificate; what the service did not hear in time it shall not hear later."""
        rest_s = self._shortened(next(self._unanswered))
        request = CertificateRequest(request=self._pending.pem(), agent=__version__)
        topic, payload = self._around.topics.certificate_request, request.model_dump_json().encode()
        self._asked = digest_of(payload)
        if self._around.publish(Publication(topic, payload, expiry_s=max(1, round(rest_s)))) is not None:
            LOG.info("certificate_asked", days_left=self.body()["days_left"])
            self._ask_at_s = time.monotonic() + rest_s

    def _heard(self, payload: bytes) -> None:
        if not self._pending.is_waiting:
            return
        try:
            reply = CertificateReply.model_validate_json(payload)
        except ValidationError:
            LOG.warning("certificate_reply_unreadable", payload_bytes=len(payload))
            return
        if reply.request != self._asked:
            return
        self._unanswered = self._rests.when_unanswered()
        if reply.accepted:
            self._take(reply)
            return
        failed = next((verdict for verdict in reply.verdicts if not verdict.passed), None)
        step, reason = (failed.step, failed.reason) if failed else ("unknown", "no reason was given")
        self._be_refused(step, reason, reply.retry_after_s)

    def _take(self, reply: CertificateReply) -> None:
        pair = self._pending.receive(self._pairs, reply.certificate, reply.authorities)
        if pair.name != self._pair.name:
            self._pairs.give_up(pair)
            raise AgentError(
                f"the new certificate is made for {pair.name!r}, but this box is {self._pair.name!r}"
            )
        self._try(pair)

    def _try(self, pair: Pair) -> None:
        """Let the next link begin with this pair; its request is answered, its key never asked with again."""
        self._candidate = None
        self._pairs.try_next(pair)
        self._pending.forget()
        self._trial_ends_s = time.monotonic() + TRIAL_S
        self._trials.begin(pair)

    def _promote(self, pair: Pair) -> None:
        self._pairs.promote(pair)
        self._admitted = None
        self._refusal = ""
        self._refusals = self._rests.when_refused()
        # A certificate that is due when it comes lives too short; it is not asked for again at once.
        self._ask_at_s = time.monotonic() + self._shortened(self._rests.unanswered_s)
        LOG.info("certificate_renewed", **self.facts())
        self._untold.append(event(self._around.topics, "certificate_renewed", self.facts()))

    def _enrol(self, enrol: Callable[[], Pair]) -> None:
        self._is_enrolling = True
        spawn(
            "enrolment",
            lambda: self._tell(Enrolled(enrol())),
            lambda _, error: self._tell(Rejected(str(error))),
        )

    def _be_refused(self, step: str, reason: str, retry_after_s: float | None = None) -> None:
        self._refusal = reason
        rest_s = self._shortened(next(self._refusals) if retry_after_s is None else jittered(retry_after_s))
        self._ask_at_s = time.monotonic() + rest_s
        LOG.warning("certificate_refused", step=step, reason=reason, rest_s=round(rest_s))
        told = {"step": step, "reason": reason, "subject": self._pair.name}
        self._untold.append(event(self._around.topics, "certificate_refused", told))

    def _shortened(self, rest_s: float) -> float:
        """Return a rest that leaves enough tries before the certificate is over."""
        return min(rest_s, self._life.longest_rest_s(dt.datetime.now(dt.UTC)))
