"""Letting a box in again that cannot prove itself: its disk is new, or it was revoked and is found again."""

from dataclasses import replace

from agent.wire.errors import ConfigError
from provisioning.audit import Audit
from provisioning.enrolment.cases import READMITTED
from provisioning.registry import Registry


def readmit(registry: Registry, audit: Audit, name: str) -> int:
    """Revoke what a device has, and let it enrol once more; return how many certificates were revoked now.

    Raises:
        ConfigError: there is no such device, or its serial belongs to another one now.
    """
    with registry.changing():
        device = registry.device(name)
        if device is None:
            raise ConfigError(f"the fleet has no device {name!r}, and never had; it may enrol without this")
        if device.removed_s is not None:
            registry.add_device(replace(device, removed_s=None))
        revoked = registry.revoke(name, "readmitted")
        if certificates := registry.certificates(name):
            registry.mark(name, READMITTED, certificates[-1].number)
        audit.add("readmit", name, revoked=len(revoked))
    return len(revoked)
