"""Which pair the next link begins with: the one in use, or for one attempt a new one.

A new pair is to blame for a link that failed if the broker says so, or lets the old one in right after it.
Where the old one fails as well, it is the broker that is away, and the new pair is spared for another time.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.identity.pair import Pair
from agent.settings import BrokerSettings
from agent.wire.certificates import NOT_ACCEPTED, REVOKED


@dataclass(frozen=True, slots=True)
class Admitted:
    """The broker let us in with this pair."""

    pair: Pair


@dataclass(frozen=True, slots=True)
class Failed:
    """The broker did not let us in with this pair: it has said so, or did let us in with the old one."""

    pair: Pair
    reason: str


@dataclass(frozen=True, slots=True)
class Spared:
    """The broker let us in with neither pair, so that nothing is known of the new one."""

    pair: Pair


Verdict = Admitted | Failed | Spared


class Trials:
    """The pair in use and the one tried. `begin`, `give_up` and `use` are not for the broker's thread."""

    def __init__(self, pair: Pair, tell: Callable[[Verdict], None], reconnect: Callable[[], None]) -> None:
        """Take the pair in use; `reconnect` lets the broker begin a new link at once."""
        self._tell, self._reconnect = tell, reconnect
        self._used = self._linked = pair
        self._tried: Pair | None = None
        self._doubted: Failed | None = None
        self._given_up = ""
        self._revoked: Pair | None = None
        self.is_linked = False

    @property
    def is_revoked(self) -> bool:
        """Whether the broker calls the pair in use revoked; a pair of before does not count."""
        return self._revoked is self._used

    @property
    def is_waiting(self) -> bool:
        """Whether the broker has not said yet what it thinks of the new pair."""
        return self._tried is not None

    def begin(self, pair: Pair) -> None:
        """Let the next link begin with this pair."""
        self._tried, self._given_up = pair, ""
        self._reconnect()

    def give_up(self, reason: str) -> None:
        """End the attempt that is being made, because it takes too long."""
        self._given_up = reason
        self._reconnect()

    def use(self, pair: Pair) -> None:
        """Let every link begin with this pair from now on."""
        self._used = pair
        self._reconnect()

    def credentials(self, settings: BrokerSettings) -> BrokerSettings:
        """Return the settings for the next link."""
        self._linked = self._tried or self._used
        files = {
            "cert_file": self._linked.cert_file,
            "key_file": self._linked.key_file,
            "ca_file": self._linked.ca_file,
        }
        return settings.model_copy(update=files)

    def connected(self) -> None:
        """Hear that the broker let us in."""
        self.is_linked, self._revoked = True, None
        doubted, self._doubted = self._doubted, None
        if self._linked is self._tried:
            self._used, self._tried = self._linked, None
            self._tell(Admitted(self._used))
        elif doubted:
            self._tell(doubted)

    def disconnected(self, reason: str) -> None:
        """Hear that there is no link; the old pair is back in use at once."""
        self.is_linked = False
        self._revoked = self._linked if REVOKED in reason else None
        if self._linked is self._tried:
            self._doubted, self._tried = Failed(self._linked, self._given_up or reason), None
            self._reconnect()
        elif self._doubted and self._linked is self._used:
            is_refused = NOT_ACCEPTED in self._doubted.reason
            self._tell(self._doubted if is_refused else Spared(self._doubted.pair))
            self._doubted = None
