"""One-time tokens of a batch: made here, shown once, kept as digests."""

import secrets
import time

from agent.wire.errors import ConfigError
from provisioning.audit import Audit
from provisioning.inventory import Inventory
from provisioning.nearest import hint
from provisioning.registry import Registry

TOKEN_BYTES = 20
"""160 bits: nobody guesses one, so that a plain digest keeps it."""


def make_tokens(
    inventory: Inventory, registry: Registry, audit: Audit, claim: str, count: int
) -> tuple[str, ...]:
    """Return new tokens of a claim, good for one box each until the claim is over.

    Raises:
        ConfigError: there is no such claim, it is over, or it asks for no token.
    """
    entry = inventory.claims.get(claim)
    if entry is None:
        wish = hint(claim, inventory.claims) or "write it under claims"
        raise ConfigError(f"the inventory has no claim {claim!r}; {wish}")
    if entry.needs == "serial":
        raise ConfigError(f"the claim {claim!r} needs no token; set `needs` to token or both to want one")
    expires_s = entry.expires_at.timestamp()
    if time.time() >= expires_s:
        raise ConfigError(
            f"the claim {claim!r} is over since {entry.expires}; write a later day into `expires`"
        )
    tokens = tuple(secrets.token_urlsafe(TOKEN_BYTES) for _ in range(count))
    with registry.changing():
        for token in tokens:
            registry.add_token(token, claim, expires_s)
        audit.add("token", claim, count=count)
    return tokens
