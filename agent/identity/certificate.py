"""What the agent asks of its certificate, whether it renews it by itself or not."""

from typing import Any, Protocol

from agent.settings import BrokerSettings
from agent.wire.packets import Delivery


class Certificate(Protocol):
    """The certificate of this box. `tick` is called often from one thread, the rest also on the network's."""

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Where the provisioning service answers."""
        ...

    def credentials(self, settings: BrokerSettings) -> BrokerSettings:
        """Return the settings for the next link."""
        ...

    def connected(self) -> None:
        """Hear that the broker let us in."""

    def disconnected(self, reason: str) -> None:
        """Hear that there is no link."""

    def received(self, delivery: Delivery) -> None:
        """Hear what the provisioning service says."""

    def tick(self) -> None:
        """Do what is due."""

    def body(self) -> dict[str, Any] | None:
        """Return the `certificate` part of the health report."""
        ...

    def facts(self) -> dict[str, Any] | None:
        """Return the `certificate` part of `info`: what changes with each certificate only."""
        ...

    def trouble(self) -> str:
        """Return what an operator should mend; empty when all is well."""
        ...


class Unmanaged:
    """No certificate, or one that somebody else looks after: `broker.cert_file` names it."""

    subscriptions = ()

    def credentials(self, settings: BrokerSettings) -> BrokerSettings:
        """Leave it to the settings."""
        return settings

    def connected(self) -> None:
        """Change nothing."""

    def disconnected(self, reason: str) -> None:
        """Change nothing."""

    def received(self, delivery: Delivery) -> None:
        """Nobody was asked."""

    def tick(self) -> None:
        """Nothing is ever due."""

    def body(self) -> None:
        """Tell nothing."""

    def facts(self) -> None:
        """Tell nothing."""

    def trouble(self) -> str:
        """Return nothing: what the broker says of a certificate stands in the link's reason."""
        return ""
