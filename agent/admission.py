"""Before the agent starts: a box with a claim and no valid certificate gets one, and with it its settings."""

import contextlib
import datetime as dt
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.enrolment_report import Onlooker
from agent.host.lock import hold
from agent.host.systemd import Notifier, credentials_dir, watchdog_interval_s
from agent.identity.certificate import Certificate, Unmanaged
from agent.identity.claim import Claim, find_claim
from agent.identity.pair import Pair, Pairs
from agent.identity.rotation import Rotation, Surroundings
from agent.settings import Settings
from agent.settings_file import load_own, provision
from agent.wire.certificates import Verdict
from agent.wire.errors import ConfigError

NO_CLAIM = (
    "there is no claim to get a certificate with: put claim.pem, claim.key and token into "
    "/etc/promptd/credentials, or set identity.claim_cert_file; docs/enrolment.md"
)


def admit(config: Path | None, onlooker: Onlooker | None = None, *, again: bool = False) -> Pair | None:
    """Enrol if that is needed, or `again`; return the new pair, or None when nothing had to be done.

    Only what the box was given by hand counts here: the claim belongs to the broker that came with it. A
    refusal that only a person can mend ends it if somebody looks on.

    Raises:
        AgentError: the claim cannot be used, or the service refuses and somebody looks on.
    """
    own = load_own(config)
    pairs = Pairs(own.identity_dir)
    claim = _needed(own, pairs, again=again)
    if claim is None:
        if onlooker and (again or not pairs.valid) and not own.broker.cert_file:
            raise ConfigError(NO_CLAIM)
        return None
    from agent.identity import enrol as way  # noqa: PLC0415 -- 10 MB that other boxes do not pay

    vigil = _Vigil(onlooker)
    with hold(own.state_dir / "lock"), _hang_up_sets(threading.Event()) as ask_now:
        around = way.Surroundings(
            keep_settings=lambda text: provision(text, config),
            beat=vigil.beat,
            show=vigil.show,
            tell=vigil.tell,
            ask_now=ask_now,
            gives_up=onlooker is not None,
        )
        return way.enrol(own, pairs, claim, around)


def certificate(settings: Settings, around: Surroundings) -> Certificate:
    """Return the certificate that the links show: the operator's own choice, or the pair that we renew."""
    pairs = Pairs(settings.identity_dir)
    pair = None if settings.broker.cert_file else pairs.current
    if pair is None:
        return Unmanaged()
    from agent.identity.request import Pending  # noqa: PLC0415 -- 10 MB that other boxes do not pay

    # By name, because not every authority takes the name from the service (EST signs the request's).
    pending = Pending(settings.identity_dir, pair.name)
    return Rotation(pairs, pair, pending, around, settings.identity.renew_at)


def way_back(config: Path | None) -> Callable[[], Pair]:
    """Return how a running agent gets a pair by its claim when its own certificate is over."""

    def enrol_again() -> Pair:
        own = load_own(config)
        claim = find_claim(own.identity, credentials_dir())
        if claim is None:
            raise ConfigError(f"the broker lets this box in no more, and {NO_CLAIM}")
        from agent.identity import enrol as way  # noqa: PLC0415 -- as above

        around = way.Surroundings(lambda text: provision(text, config))
        return way.enrol(own, Pairs(own.identity_dir), claim, around)

    return enrol_again


def _needed(own: Settings, pairs: Pairs, *, again: bool) -> Claim | None:
    """Return the claim if it must be used: a certificate of the operator's own choice needs none."""
    untried = pairs.next
    has_one = pairs.valid or (untried and untried.is_valid(dt.datetime.now(dt.UTC)))
    if own.broker.cert_file or (has_one and not again):
        return None
    return find_claim(own.identity, credentials_dir())


class _Vigil:
    """Tells systemd that a box without a certificate is well: to restart it would not help it."""

    def __init__(self, onlooker: Onlooker | None) -> None:
        self._onlooker = onlooker
        self._notifier = Notifier()
        self._interval_s = watchdog_interval_s()
        self._fed_s = 0.0
        self._notifier.ready("enrolment begins")

    def beat(self) -> None:
        """Feed the watchdog."""
        if self._interval_s and time.monotonic() - self._fed_s >= self._interval_s:
            self._notifier.alive()
            self._fed_s = time.monotonic()

    def show(self, line: str) -> None:
        """Show what enrolment waits for."""
        self._notifier.status(line)
        if self._onlooker:
            self._onlooker.show(line)

    def tell(self, verdict: Verdict) -> None:
        """Pass a verdict on; the log has it already."""
        if self._onlooker:
            self._onlooker.tell(verdict)


@contextlib.contextmanager
def _hang_up_sets(event: threading.Event) -> Iterator[threading.Event]:
    """Let `systemctl reload` ask at once; without a handler it would end the process."""
    if not hasattr(signal, "SIGHUP"):
        yield event
        return
    before = signal.signal(signal.SIGHUP, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGHUP, before)
