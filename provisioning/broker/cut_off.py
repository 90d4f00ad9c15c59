"""Tells the broker who was revoked: by its rules, which need no passphrase, and by the revocation list."""

from agent.wire.errors import AgentError
from provisioning.authority.registrar import Registrar
from provisioning.broker.bring import bring_to_broker
from provisioning.fleet import Fleet

LATER = "run promptd-fleet apply as soon as that is mended"


def cut_off(fleet: Fleet, registrar: Registrar) -> None:
    """Bring the broker the rules and the list; the rules alone already deny everything to who was revoked.

    Raises:
        AgentError: the list could not be written, or the broker not be reached; the registry has it.
    """
    unsigned = ""
    try:
        registrar.write_revocations()
    except AgentError as error:
        unsigned = str(error)
    try:
        bring_to_broker(fleet)
    except AgentError as error:
        raise AgentError(f"it is revoked here, but the broker does not know: {error}; {LATER}") from error
    if unsigned:
        raise AgentError(
            f"the broker's rules deny it everything, but its certificate is not on the revocation list yet: "
            f"{unsigned}; {LATER}"
        )
