"""What a box needs to enrol itself: the claim certificate of its batch and, where asked for, a token."""

import secrets
import time
from pathlib import Path

from agent.wire.errors import ConfigError
from provisioning.bundle import InstallBundle, archive
from provisioning.facts import Facts, told_to
from provisioning.fleet import Fleet
from provisioning.written import write

TOKEN_BYTES = 20
"""160 bits: nobody guesses it within the life of a claim."""
CERTIFICATE, KEY, TOKEN = "claim.pem", "claim.key", "token"


class ClaimError(ConfigError):
    """There is no such claim, or it cannot be used."""


def new_tokens(fleet: Fleet, claim: str, count: int) -> list[str]:
    """Make one-time tokens; only their digests are kept, so they are shown once.

    Raises:
        ClaimError: the inventory has no such claim, it is over, or it needs no token.
    """
    entry = fleet.inventory.claims.get(claim)
    if entry is None:
        known = ", ".join(fleet.inventory.claims) or "none"
        raise ClaimError(f"the inventory has no claim {claim!r} (it has {known}); write it under claims")
    if entry.needs == "serial":
        raise ClaimError(
            f"boxes of the claim {claim!r} show their serial and no token; set needs to token or both"
        )
    if entry.expires_at.timestamp() <= time.time():
        raise ClaimError(f"the claim {claim!r} was good until {entry.expires}; write a later day beside it")
    made = [secrets.token_urlsafe(TOKEN_BYTES) for _ in range(count)]
    with fleet.registry.changing():
        for token in made:
            fleet.registry.add_token(token, claim, entry.expires_at.timestamp())
    fleet.audit.add("token", claim, count=count)
    return made


def carried(fleet: Fleet, device: str) -> dict[str, bytes]:
    """Return the claim's files for a bundle, with a token of its own; nothing where none lets the device in.

    Raises:
        ClaimError: the claim has no certificate yet.
    """
    claim = fleet.inventory.claim_for(device, time.time())
    if not claim:
        return {}
    folder = fleet.places.claim(claim)
    files = {name: _read(folder / name, claim) for name in (CERTIFICATE, KEY)}
    if fleet.inventory.claims[claim].needs != "serial":
        files[TOKEN] = new_tokens(fleet, claim, 1)[0].encode()
    return files


def write_bundle(
    fleet: Fleet, facts: Facts, device: str, to: Path, installs: tuple[InstallBundle, ...] = ()
) -> None:
    """Write what is carried to one box by hand; with `installs` it brings promptd too.

    Raises:
        ClaimError: the claim has no certificate yet.
        NotWrittenError: it cannot be written.
    """
    contents = told_to(fleet, device, facts.authorities) | carried(fleet, device)
    write(to.absolute(), archive(contents, installs))


def _read(path: Path, claim: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClaimError(
            f"the claim {claim!r} has no certificate yet; run promptd-fleet apply first"
        ) from error
