"""Sets one box up by SSH: promptd and its settings, a key made there, its certificate, and a sign of life."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.client import AskError, Client
from agent.wire.errors import AgentError
from provisioning import onbox
from provisioning.authority.registrar import Registrar, revoked_meanwhile
from provisioning.bundle import InstallBundle, archive
from provisioning.facts import BEGUN, CERTIFIED, DONE, INSTALLED, PROMPTD, STARTED, Facts, told_to
from provisioning.fleet import Fleet
from provisioning.plan import installed_digest
from provisioning.reach import Reach

if TYPE_CHECKING:
    from provisioning.apply import Watch

READY_TIMEOUT_S = 120.0


class DeviceWork:
    """The work on one box."""

    def __init__(
        self,
        fleet: Fleet,
        registrar: Registrar,
        facts: Facts,
        watch: "Watch",
        readmit: Callable[[], None],
        *,
        waits: bool = True,
    ) -> None:
        """Take the opened fleet; `readmit` tells the broker that whoever was cut off belongs to it again."""
        self._fleet, self._registrar, self._facts = fleet, registrar, facts
        self._watch, self._waits, self._readmit = watch, waits, readmit

    def install(self, device: str) -> None:
        """Bring promptd, unless the box has this one already, and the settings.

        Raises:
            ReachError: the box is away, or something failed on it.
        """
        box, told = self._reach(device), told_to(self._fleet, device, self._facts.authorities)
        wanted = self._facts.offered(device)
        bundles: tuple[InstallBundle, ...] = ()
        if wanted != self._facts.mark(device, PROMPTD):
            self._watch.begun(device, "asking what kind of machine it is")
            machine = box.run(onbox.MACHINE).decode().strip()
            bundles = tuple(bundle for bundle in self._facts.installs if bundle.machine == machine)
        self._watch.begun(device, "installing" if bundles else "bringing its settings")
        box.run(onbox.UNPACK_AND_PROVISION, archive(told, bundles))
        self._fleet.registry.mark(device, STARTED, BEGUN)
        self._fleet.registry.mark(device, PROMPTD, wanted)
        mark = installed_digest(self._facts.told[device], wanted)
        self._fleet.registry.mark(device, INSTALLED, mark)

    def certify(self, device: str) -> None:
        """Have the box make a key, sign its request, and bring the certificate.

        Raises:
            AgentError: the box is away, or refuses.
        """
        box = self._reach(device)
        self._watch.begun(device, "making its key")
        request = box.run(onbox.request(device)).decode()
        self._watch.begun(device, "signing its request")
        self._fleet.registry.mark(device, STARTED, BEGUN)
        self._fleet.registry.mark(device, CERTIFIED, BEGUN)
        reply = self._registrar.certify(device, request)
        self._refuse_if_revoked_meanwhile(device)
        latest = self._facts.latest.get(device)
        if latest and latest.revoked_s is not None:
            self._watch.begun(device, "letting it in again")
            self._readmit()
        self._watch.begun(device, "bringing its certificate")
        box.run(onbox.ACCEPT, reply.model_dump_json().encode())
        self._refuse_if_revoked_meanwhile(device)
        self._fleet.registry.mark(device, CERTIFIED, DONE)

    def _refuse_if_revoked_meanwhile(self, device: str) -> None:
        """Withdraw what was signed just now, too, if somebody has revoked the device meanwhile.

        Raises:
            AgentError: somebody has.
        """
        registry = self._fleet.registry
        now = registry.device(device)
        if now and now.removed_s is not None:
            registry.revoke(device, "revoked while it was being certified")
            raise AgentError(revoked_meanwhile(device))

    def start(self, device: str) -> None:
        """Start promptd on the box, and wait until it says on the broker that it is ready.

        Raises:
            AgentError: the box is away, or does not become ready.
        """
        self._watch.begun(device, "starting")
        self._reach(device).run(onbox.RESTART)
        if self._waits:
            self._watch.begun(device, "waiting until it is ready")
            self._see_ready(device)
        self._fleet.registry.mark(device, STARTED, DONE)

    def _see_ready(self, device: str) -> None:
        """Wait for its word. A stopped agent says `offline`, so that an old `ready` has gone by now."""
        try:
            with Client(self._fleet.link, device) as client:
                client.wait_for("status", lambda status: status["state"] == "ready", READY_TIMEOUT_S)
        except AskError as error:
            raise AgentError(
                f"{error}; look there: journalctl -u promptd. A box that lost its key gets another one by "
                f"promptd-fleet apply --again {device}"
            ) from error

    def _reach(self, device: str) -> Reach:
        return Reach(self._fleet.inventory.ssh, self._fleet.inventory.devices[device].address)
