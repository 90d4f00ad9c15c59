"""Does what the plan says, step by step, and devices side by side; each step is noted when it is done.

Whatever stops it half-way, the next run plans what is left. What fails for one device stops no other.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from agent.wire.errors import AgentError
from provisioning.audit import FAILED
from provisioning.authority.registrar import Registrar
from provisioning.broker.bring import bring_to_broker
from provisioning.claims import write_bundle
from provisioning.device_work import DeviceWork
from provisioning.facts import BUNDLED, HOSTS, Facts
from provisioning.fleet import Fleet
from provisioning.plan import Kind, Step

ON_DEVICES = (Kind.INSTALL, Kind.CERTIFY, Kind.START)


class Watch(Protocol):
    """Who hears how the work goes on; also from threads."""

    def begun(self, subject: str, words: str) -> None:
        """Hear what is being done now."""

    def done(self, step: Step) -> None:
        """Hear that a step is done, or has failed."""


class Quiet:
    """Hears nothing."""

    def begun(self, subject: str, words: str) -> None:
        """Say nothing."""

    def done(self, step: Step) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be done, and why."""

    step: Step
    reason: str


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    done: list[Step] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)


class Applying:
    """One run of `apply`."""

    def __init__(
        self, fleet: Fleet, registrar: Registrar, facts: Facts, watch: Watch, *, waits: bool = True
    ) -> None:
        """Take the opened fleet; `waits` is whether devices must say on the broker that they are ready."""
        self._fleet, self._registrar, self._facts = fleet, registrar, facts
        self._watch, self._waits = watch, waits
        self._lock = threading.Lock()
        self._outcome = Outcome()
        self._keepings = {keeping.holder: keeping for keeping in facts.keepings}
        self._here: dict[Kind, Callable[[Step], None]] = {
            Kind.CERTIFICATE: self._certificate,
            Kind.REGISTER: self._register,
            Kind.REMOVE: self._remove,
            Kind.REVOKE: self._revoke,
            Kind.REVOCATIONS: self._revocations,
            Kind.BROKER: self._broker,
            Kind.BUNDLE: self._bundle,
        }

    def run(self, steps: tuple[Step, ...]) -> Outcome:
        """Do all steps."""
        on_devices: dict[str, list[Step]] = defaultdict(list)
        for step in steps:
            if step.kind in self._here:
                self._try(step, self._here[step.kind])
            elif step.kind in ON_DEVICES:
                on_devices[step.subject].append(step)
        with ThreadPoolExecutor(self._fleet.inventory.ssh.parallel, "device") as pool:
            list(pool.map(self._device, on_devices.values()))
        return self._outcome

    def _try(self, step: Step, work: Callable[[Step], None]) -> bool:
        """Do one step and note what came of it; tell whether it went well."""
        self._watch.begun(step.subject, step.kind)
        try:
            work(step)
        except AgentError as error:
            self._fleet.audit.add(step.kind, step.subject, FAILED, reason=str(error))
            with self._lock:
                self._outcome.failed.append(Failure(step, str(error)))
            return False
        else:
            self._fleet.audit.add(step.kind, step.subject, why=step.why)
            with self._lock:
                self._outcome.done.append(step)
            return True
        finally:
            self._watch.done(step)

    def _device(self, steps: list[Step]) -> None:
        """Do the steps of one device, up to the first that fails."""
        work = DeviceWork(
            self._fleet, self._registrar, self._facts, self._watch, self._bring, waits=self._waits
        )
        doing = {Kind.INSTALL: work.install, Kind.CERTIFY: work.certify, Kind.START: work.start}
        for step in steps:
            if not self._try(step, lambda step: doing[step.kind](step.subject)):
                return

    def _certificate(self, step: Step) -> None:
        keeping = self._keepings[step.subject]
        self._registrar.equip(keeping)
        if keeping.hosts:
            self._fleet.registry.mark(keeping.holder, HOSTS, " ".join(keeping.hosts))

    def _register(self, step: Step) -> None:
        self._registrar.enlist(step.subject, self._facts.now_s)

    def _remove(self, step: Step) -> None:
        self._fleet.registry.remove_device(step.subject)

    def _revoke(self, step: Step) -> None:
        self._fleet.registry.revoke(step.subject, "left the inventory")

    def _revocations(self, _step: Step) -> None:
        self._registrar.write_revocations()

    def _broker(self, _step: Step) -> None:
        self._bring()

    def _bring(self) -> None:
        bring_to_broker(self._fleet)

    def _bundle(self, step: Step) -> None:
        write_bundle(self._fleet, self._facts, step.subject, self._fleet.places.bundle(step.subject))
        self._fleet.registry.mark(step.subject, BUNDLED, self._facts.told[step.subject])
