"""Keeps the broker's rules and its revocation list as the registry wants them, while boxes enrol themselves.

A new box may speak at once; what it may answer to clients is written out by name, so that each one changes
the rules. It is what `promptd-fleet apply` does, of which only the steps of the broker are done here.
"""

import threading
from collections.abc import Callable

import structlog

from agent.wire.errors import AgentError
from provisioning.apply import Applying, Quiet
from provisioning.authority.registrar import Registrar
from provisioning.facts import look
from provisioning.fleet import Fleet
from provisioning.plan import Kind, plan

LOG = structlog.get_logger("promptd.enrolment")

SETTLE_S = 1.0
"""A batch changes the rules once a second at most."""
LOOK_S = 3600.0
"""The revocation list grows old by itself."""
AGAIN_S = 600.0
KINDS = (Kind.REVOCATIONS, Kind.BROKER)


class BrokerRules:
    """Work for a thread of its own: a broker's machine may be far away."""

    def __init__(self, fleet: Callable[[], Fleet], registrar: Registrar) -> None:
        self._fleet = fleet
        self._registrar = registrar
        self._news = threading.Event()
        self._stopping = threading.Event()

    def changed(self) -> None:
        """Hear that the registry has changed."""
        self._news.set()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()
        self._news.set()

    def run(self) -> None:
        """Bring the broker what it lacks, now and whenever something has changed."""
        rest_s = 0.0
        while True:
            self._news.wait(rest_s)
            if self._stopping.wait(SETTLE_S):
                return
            self._news.clear()
            rest_s = LOOK_S if self._bring() else AGAIN_S

    def _bring(self) -> bool:
        fleet = self._fleet()
        try:
            facts = look(fleet, fleet.places.folder)
            steps = tuple(step for step in plan(fleet.inventory, facts) if step.kind in KINDS)
            failed = Applying(fleet, self._registrar, facts, Quiet()).run(steps).failed
        except AgentError as error:
            LOG.warning("broker_rules_wait", reason=str(error))
            return False
        for each in failed:
            LOG.error(
                "broker_rules_old", reason=each.reason, hint="promptd-fleet apply brings them to the broker"
            )
        if steps and not failed:
            LOG.info("broker_rules_brought", why=[step.why for step in steps])
        return not failed
