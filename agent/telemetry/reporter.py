"""Publishes status, info and health: status and info when they change, health every interval."""

import time
from typing import Any

from agent.host.systemd import Notifier
from agent.outfit import Outfit
from agent.telemetry import health
from agent.telemetry.health import State, Vitals
from agent.wire.packets import Publication, Publish
from agent.wire.topics import Topics
from agent.worker.supervisor import EngineState


class Reporter:
    """The voice of the device; `tick` is called often and speaks when there is something to say."""

    def __init__(
        self,
        *,
        topics: Topics,
        outfit: Outfit,
        vitals: Vitals,
        birth: int,
        publish: Publish,
        interval_s: float,
    ) -> None:
        self._topics = topics
        self._outfit = outfit
        self._vitals = vitals
        self._birth = birth
        self._publish = publish
        self._notifier = Notifier()
        self._said_status: tuple[State, str] | None = None
        self._told_systemd = ""
        self._said_info: tuple[EngineState, dict[str, Any] | None] | None = None
        self._next_health_s = 0.0
        self.interval_s = interval_s
        self.is_stopping = False

    def repeat(self) -> None:
        """Say everything anew, as after a new connection."""
        self._said_status = self._said_info = None
        self._next_health_s = 0.0

    def tick(self) -> None:
        """Publish what changed, and health when it is due."""
        state, reason = self._state()
        self._tell_systemd(f"{state}: {reason or self._vitals.link.reason or 'connected'}")
        if (state, reason) != self._said_status and self._say(
            health.status(self._topics, state, reason, self._birth)
        ):
            self._said_status, self._next_health_s = (state, reason), 0.0
        engine, certificate = self._vitals.supervisor.state, self._vitals.certificate.facts()
        if (engine, certificate) != self._said_info and self._say(
            health.info(self._topics, engine, self._outfit.facts, self._outfit.verdict_bodies(), certificate)
        ):
            self._said_info = (engine, certificate)
        if time.monotonic() >= self._next_health_s:
            self._next_health_s = time.monotonic() + self.interval_s
            self._publish(health.health(self._topics, self._vitals, state, self._outfit.facts.gpus))

    def farewell(self) -> None:
        """Say `offline` by hand: after a clean goodbye the broker does not send the will."""
        self._publish(health.status(self._topics, "offline", "stopped", self._birth))

    def _say(self, publication: Publication) -> bool:
        """Publish; tell whether the link took it. What it did not take is said at the next tick."""
        return self._publish(publication) is not None

    def _tell_systemd(self, line: str) -> None:
        if line != self._told_systemd:
            self._told_systemd = line
            self._notifier.status(line)

    def _state(self) -> tuple[State, str]:
        engine = self._vitals.supervisor.state
        if self.is_stopping:
            return "stopping", "the agent is stopping"
        disk = self._vitals.ledger.disk
        if disk.is_short:
            return "blocked", f"no prompt can be stored: {disk.reason}"
        link, certificate = self._vitals.link, self._vitals.certificate
        trouble = (
            link.refusal
            or self._vitals.dispatcher.trouble()
            or self._refused_answers()
            or certificate.trouble()
        )
        return ("degraded", trouble) if trouble else _state_of(engine)

    def _refused_answers(self) -> str:
        parked = self._vitals.ledger.parked()
        return f"the broker refuses {parked} answers; check its ACL and largest packet" if parked else ""


def _state_of(engine: EngineState) -> tuple[State, str]:
    match engine.phase:
        case "starting":
            return "starting", engine.reason
        case "ready" if engine.falls:
            return "degraded", "fell back: " + "; ".join(engine.falls)
        case "ready":
            return "ready", ""
        case _:
            return "degraded", engine.reason
