"""The provisioning service on its broker: takes requests off the topics, has them judged, and replies.

Requests wait at the broker while the service is away (its session is kept), and in `door.py` while it is
busy. A reply that finds no link is lost: the box repeats its request, and gets the same answer.
"""

import secrets
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import structlog

from agent.host.pulse import Pulse, spawn
from agent.host.systemd import Notifier, watchdog_interval_s
from agent.mqtt.broker import Broker
from agent.mqtt.dialing import Identity
from agent.settings import BrokerSettings
from agent.wire.access import FLEET_USER, TABLE, Party
from agent.wire.certificates import MAX_REQUEST_BYTES, CertificateReply, Verdict, digest_of
from agent.wire.errors import AgentError
from agent.wire.packets import BrokerLimits, Confirmation, Delivery, Publication
from agent.wire.topics import matches
from provisioning.authority.registrar import Registrar
from provisioning.authority.signer import Signer
from provisioning.enrolment.desk import Desk
from provisioning.enrolment.door import Door, Rate
from provisioning.enrolment.rules import BrokerRules
from provisioning.enrolment.watched import WatchedInventory
from provisioning.facts import trusted
from provisioning.fleet import Fleet
from provisioning.written import write

LOG = structlog.get_logger("promptd.enrolment")

TICK_S, STOP_S, ROOM_S = 0.5, 5.0, 10.0
NETWORK_LIMIT_S, JUDGING_LIMIT_S = 60.0, 90.0
"""An authority elsewhere may take a minute for a signature."""
TOO_FAST_S = 10.0
"""When whoever was too fast may ask again, at the earliest."""
TOO_FAST = "more requests come with this claim than are judged; the box asks again by itself"
FAILED_S = 60.0
EXIT_INTERNAL = 70
REQUESTS = tuple(each for each in TABLE if Party.FLEET in each.readers and each.pattern.endswith("/request"))
"""What is asked of the service; it may read more of the fleet."""


def service_of(fleet: Fleet, signer: Signer) -> "Service":
    """Return the service of a fleet; it reads the inventory again whenever that changes."""
    inventory = WatchedInventory(fleet.places.inventory)

    def now() -> Fleet:
        return replace(fleet, inventory=inventory())

    rules = BrokerRules(now, Registrar(fleet, signer))
    desk = Desk(
        inventory,
        fleet.registry,
        signer,
        fleet.audit,
        trusted=lambda authorities: trusted(now(), authorities),
        enrolled=rules.changed,
    )
    return Service(fleet.link, desk, rules, _client_id(fleet.places.service))


def _client_id(folder: Path) -> str:
    """Return an id that nobody guesses: whoever connects with it takes the link of the service away."""
    file = folder / "client-id"
    if not file.exists():
        write(file, f"{FLEET_USER}-{secrets.token_hex(16)}".encode())
    return file.read_text(encoding="ascii")


class Service:
    """One link, one thread that judges, one that keeps the broker's rules."""

    def __init__(self, settings: BrokerSettings, desk: Desk, rules: BrokerRules, client_id: str) -> None:
        self._desk, self._rules = desk, rules
        self._root = settings.root
        self._door, self._rate = Door(), Rate()
        self._pulse, self._notifier = Pulse(), Notifier()
        self._stopping, self._room = threading.Event(), threading.Event()
        self._exit_code = 0
        self._state = "the broker has not answered yet"
        self._answered = 0
        filters = tuple(each.topic_filter(settings.root) for each in REQUESTS)
        identity = Identity(client_id, filters, max_payload_bytes=2 * MAX_REQUEST_BYTES)
        self._broker = Broker(settings, identity, self, self._pulse.watch("network", NETWORK_LIMIT_S))

    def run(self) -> int:
        """Serve until a signal or the death of a part; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        self._beat = self._pulse.watch("judging", JUDGING_LIMIT_S)
        threads = [
            spawn("network", self._broker.run, self._died),
            spawn("judging", self._judge, self._died),
            spawn("rules", self._rules.run, self._died),
        ]
        self._notifier.ready("serving")
        LOG.info("service_started", host=FLEET_USER)
        self._watch()
        self._notifier.stopping()
        self._broker.stop()
        self._rules.stop()
        for thread in threads:
            thread.join(STOP_S)
        LOG.info("service_stopped", answered=self._answered, exit_code=self._exit_code)
        return self._exit_code

    def connected(self, limits: BrokerLimits, *, session_present: bool) -> None:
        """Hear from the broker: there is a link; what matters is the subscription that follows."""

    def subscribed(self, refusal: str) -> None:
        """Hear from the broker: whether requests can come."""
        self._state = refusal or "serving"

    def disconnected(self, reason: str) -> None:
        """Hear from the broker: there is no link."""
        self._state = f"no broker: {reason}"

    def received(self, delivery: Delivery) -> bool:
        """Hear from the broker: a request. A retained one was asked long ago, by whoever may have gone."""
        source = _source(self._root, delivery.topic)
        if delivery.retain or not source:
            return True
        if wait_s := self._rate.wait_s(source):
            reply = _put_off("claim", TOO_FAST, max(TOO_FAST_S, wait_s))
            self._broker.publish(_publication(delivery.topic, delivery.payload, reply, qos=0))
        elif not self._door.put(delivery.topic, delivery.payload):
            LOG.warning("request_left_unanswered", source=source, hint="too many wait; the box asks again")
        return True

    def confirmed(self, confirmation: Confirmation) -> None:
        """Hear from the broker: what became of a reply."""
        self._room.set()
        if not confirmation.is_accepted:
            LOG.error(
                "reply_refused",
                reason=f"0x{confirmation.reason_code:02x}",
                hint="the broker's ACL must let promptd-fleet write the replies; apply the inventory again",
            )

    def _judge(self) -> None:
        while not self._stopping.is_set():
            self._beat()
            waiting = self._door.take(TICK_S)
            if waiting is None:
                continue
            topic, payload = waiting
            self._reply(_publication(topic, payload, self._answer(topic, payload)))
            self._answered += 1

    def _answer(self, topic: str, payload: bytes) -> CertificateReply:
        """Return the answer of the desk; who asks stands in the topic, which the broker's ACL guarantees."""
        kind, source = topic.removeprefix(f"{self._root}/").split("/")[1:3]
        try:
            return (self._desk.enrol if kind == "enrol" else self._desk.renew)(source, payload)
        except Exception:  # border: one request must not end the service for all others
            LOG.exception("request_not_judged", source=source)
            return _put_off(
                "signing", "the service failed in a way it did not foresee; its log says how", FAILED_S
            )

    def _reply(self, publication: Publication) -> None:
        """Publish once the broker has room for it; without a link the box asks again."""
        end_s = time.monotonic() + ROOM_S
        while self._broker.publish(publication) is None and self._broker.is_connected:
            if time.monotonic() >= end_s:
                LOG.warning("reply_left_out", topic=publication.topic, hint="the box asks again")
                return
            self._room.wait(TICK_S)
            self._room.clear()

    def _watch(self) -> None:
        interval_s, fed_s, shown = watchdog_interval_s(), 0.0, ""
        while not self._stopping.wait(TICK_S):
            if shown != self._state:
                shown = self._state
                self._notifier.status(shown)
            if interval_s and time.monotonic() - fed_s >= interval_s:
                if late := self._pulse.late():
                    LOG.error("loops_late", loops=late)
                else:
                    self._notifier.alive()
                fed_s = time.monotonic()

    def _died(self, name: str, error: BaseException) -> None:
        self._exit_code = error.exit_code if isinstance(error, AgentError) else EXIT_INTERNAL
        if isinstance(error, AgentError):
            LOG.error("service_cannot_go_on", thread=name, reason=str(error))
        else:
            LOG.error("thread_died", thread=name, exc_info=error)
        self._stopping.set()


def _source(root: str, topic: str) -> str:
    """Return the claim or device that asks, a level of the topic; empty when the topic is none of ours."""
    is_ours = any(matches(each.topic_filter(root), topic) for each in REQUESTS)
    return topic.removeprefix(f"{root}/").split("/")[2] if is_ours else ""


def _publication(topic: str, asked: bytes, reply: CertificateReply, qos: int = 1) -> Publication:
    answer = topic.removesuffix("/request") + "/reply"
    bound = reply.model_copy(update={"request": digest_of(asked)})
    return Publication(answer, bound.model_dump_json().encode(), qos)


def _put_off(step: str, reason: str, wait_s: float) -> CertificateReply:
    verdict = Verdict(step=step, passed=False, reason=reason)
    return CertificateReply(accepted=False, verdicts=(verdict,), retry_after_s=wait_s)
