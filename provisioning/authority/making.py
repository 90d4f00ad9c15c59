"""Makes the authority of a fleet: a root that is carried away, and the issuing one that stays."""

from pathlib import Path

from provisioning.authority.errors import AuthorityError
from provisioning.authority.passphrase import (
    THE_ISSUING,
    THE_ROOT,
    issuing_file,
    new_passphrase,
    passphrase_of,
)
from provisioning.authority.root import ROOT_KEY, has_issuing, has_root, make_issuing, make_root
from provisioning.fleet import Fleet


def is_missing(fleet: Fleet) -> bool:
    """Tell whether the fleet wants an authority of its own and has none yet."""
    return fleet.inventory.authority.kind == "own" and not has_issuing(fleet.places.authority)


def make(fleet: Fleet, root_passphrase_file: Path | None) -> str:
    """Make what is missing, and return what the operator should do now.

    Raises:
        AuthorityError: the authority is another one, is there already, or a passphrase cannot be learnt.
    """
    if fleet.inventory.authority.kind != "own":
        raise AuthorityError(f"authority.kind is {fleet.inventory.authority.kind!r}; only 'own' is made here")
    folder = fleet.places.authority
    if has_issuing(folder):
        raise AuthorityError(f"there is an authority in {folder} already; every certificate depends on it")
    if not has_root(folder):
        make_root(folder, f"{_fleet_name(fleet)} root", new_passphrase(THE_ROOT, root_passphrase_file))
        fleet.audit.add("authority", "root")
    return renew(fleet, root_passphrase_file)


def renew(fleet: Fleet, root_passphrase_file: Path | None) -> str:
    """Make the issuing authority, or the next one, and return what the operator should do now.

    Raises:
        AuthorityError: the root's key is not here, or a passphrase is wrong or cannot be learnt.
    """
    folder, given = fleet.places.authority, fleet.inventory.authority.passphrase_file
    make_issuing(
        folder,
        f"{_fleet_name(fleet)} issuing",
        passphrase_of(THE_ROOT, root_passphrase_file),
        new_passphrase(THE_ISSUING, issuing_file(folder, given)),
    )
    fleet.audit.add("authority", "issuing")
    return (
        f"the authority is ready; now move {folder / ROOT_KEY} to a place that is not on this machine: "
        f"it is needed again only for the next issuing authority, in ten years"
    )


def _fleet_name(fleet: Fleet) -> str:
    return f"promptd {fleet.inventory.broker.root}"
