"""A link whose certificate is renewed: a real Broker and a real Rotation, and a service that a test plays."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from agent.host.pulse import spawn
from agent.identity.pair import Pair, Pairs
from agent.identity.request import Pending
from agent.identity.rests import Rests
from agent.identity.rotation import Rotation, Surroundings
from agent.mqtt.broker import Broker
from agent.mqtt.dialing import Identity
from agent.settings import BrokerSettings
from agent.wire.certificates import CertificateReply, CertificateRequest, Verdict, digest_of
from agent.wire.packets import BrokerLimits, Confirmation, Delivery, Publication
from rig.authority import Authority
from rig.box import DEVICE, TOPICS
from rig.requester import Reply, Requester

SOON = Rests(unanswered_s=0.2, longest_unanswered_s=0.2, refused_s=0.2, longest_refused_s=0.2)
RENEW_AT = 0.67
TICK_S = 0.05
STOP_S = 5.0
DUE_DAYS = 0.01
"""A certificate begins an hour ago, so one that lives for a quarter of an hour more is due."""


class Link:
    """Hears the broker as the agent does, and ticks as its main loop does; use as a context manager."""

    def __init__(self, folder: Path, port: int, enrol: Callable[[], Pair] | None = None) -> None:
        self.pairs = Pairs(folder)
        self.deaths: list[BaseException] = []
        pair = self.pairs.current
        assert pair
        self._broker: Broker
        self._wake, self._stopping = threading.Event(), threading.Event()
        reconnect = lambda: self._broker.reconnect()  # noqa: E731, PLW0108 -- there is no broker yet
        around = Surroundings(TOPICS, self._publish, reconnect, self._wake.set, enrol)
        self.rotation = Rotation(self.pairs, pair, Pending(folder, DEVICE), around, RENEW_AT, SOON)
        identity = Identity(f"promptd-{DEVICE}", self.rotation.subscriptions)
        settings = BrokerSettings(url=f"mqtts://127.0.0.1:{port}")
        self._broker = Broker(settings, identity, self, credentials=self.rotation.credentials)

    def __enter__(self) -> Self:
        bodies = {"network": self._broker.run, "main": self._live}
        self._threads = [spawn(name, body, self._died) for name, body in bodies.items()]
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._wake.set()
        self._broker.stop()
        for thread in self._threads:
            thread.join(STOP_S)
        assert self.deaths == []

    def connected(self, _limits: BrokerLimits, *, session_present: bool) -> None:  # noqa: ARG002 -- the protocol's
        self.rotation.connected()
        self._wake.set()

    def subscribed(self, refusal: str) -> None:
        assert not refusal

    def disconnected(self, reason: str) -> None:
        self.rotation.disconnected(reason)

    def received(self, delivery: Delivery) -> bool:
        self.rotation.received(delivery)
        return True

    def confirmed(self, confirmation: Confirmation) -> None:
        """Events are sent at QoS 0 or 1; none is waited for."""

    def _publish(self, publication: Publication) -> int | None:
        return self._broker.publish(publication)

    def _live(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(TICK_S)
            self._wake.clear()
            self.rotation.tick()

    def _died(self, _name: str, error: BaseException) -> None:
        self.deaths.append(error)


class Service:
    """The provisioning service, played by a test: it reads what a box asks, and answers as it is told."""

    def __init__(self, requester: Requester, authority: Authority) -> None:
        self.requester, self.authority = requester, authority
        self._read = 0

    def next_ask(self) -> Reply:
        """Wait for a request that was not returned before; the same one, repeated, counts as another."""
        self._read += 1
        asks = self.requester.wait_for_many(
            lambda reply: reply.topic == TOPICS.certificate_request, self._read
        )
        return asks[self._read - 1]

    def accept(self, ask: Reply, name: str = DEVICE, signer: Authority | None = None) -> CertificateReply:
        """Return the reply that hands out a certificate for this name, signed by `signer`."""
        request = CertificateRequest.model_validate_json(ask.payload).request
        issued = (signer or self.authority).sign(request, name)
        return CertificateReply(
            accepted=True,
            request=digest_of(ask.payload),
            certificate=issued.chain_pem,
            authorities=self.authority.signer.authorities,
        )

    def refuse(self, ask: Reply, reason: str) -> CertificateReply:
        verdict = Verdict(step="name", passed=False, reason=reason)
        return CertificateReply(accepted=False, request=digest_of(ask.payload), verdicts=(verdict,))

    def wait_for_event(self, kind: str) -> dict[str, Any]:
        """Wait for an event of the box and return what it says."""
        reply = self.requester.wait_for(lambda reply: reply.topic == TOPICS.event(kind))
        body: dict[str, Any] = reply.body
        return body

    def say(self, reply: CertificateReply, *, retain: bool = False) -> None:
        self.requester.publish(TOPICS.certificate_reply, reply.model_dump_json().encode(), retain=retain)


def surroundings(publish: list[Publication] | None = None, **others: Any) -> Surroundings:  # noqa: ANN401 -- its fields
    """Return a process without a link, whose broker takes everything."""
    sent = [] if publish is None else publish

    def take(publication: Publication) -> int:
        sent.append(publication)
        return len(sent)

    return Surroundings(**{"topics": TOPICS, "publish": take, "reconnect": lambda: None, **others})


def alone(folder: Path, pair: Pair, publish: list[Publication] | None = None, **others: Any) -> Rotation:  # noqa: ANN401 -- as above
    return Rotation(
        Pairs(folder), pair, Pending(folder, DEVICE), surroundings(publish, **others), RENEW_AT, SOON
    )


def received(authority: Authority, folder: Path) -> Pair:
    """Return a pair that was handed out and stored, while its request still waits: the power goes now."""
    pending = Pending(folder, DEVICE)
    issued = authority.sign(pending.pem(), DEVICE)
    return pending.receive(Pairs(folder), issued.chain_pem, authority.signer.authorities)
