"""The composition root: the only file that knows every part. Starts forward, stops backward, by the clock."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable

import structlog

from agent.admission import certificate
from agent.flow.dispatcher import Dispatcher
from agent.flow.endings import Endings
from agent.flow.intake import Intake, Terms
from agent.flow.ledger import Capacity, Ledger
from agent.flow.meter import Meter
from agent.flow.pruning import Retention
from agent.flow.publisher import Publisher
from agent.flow.rate import Rate
from agent.flow.storage import DiskShortError
from agent.host import logs
from agent.host.lock import hold
from agent.host.pulse import Pulse, spawn
from agent.host.rounds import Rounds
from agent.host.systemd import Notifier, watchdog_interval_s
from agent.identity.pair import Pair
from agent.identity.rotation import Surroundings
from agent.mqtt.broker import Broker
from agent.mqtt.dialing import Identity
from agent.outfit import Outfit
from agent.settings import Settings
from agent.telemetry import health
from agent.telemetry.health import Vitals
from agent.telemetry.link import LinkRecord
from agent.telemetry.reporter import Reporter
from agent.wire.errors import AgentError
from agent.wire.events import event
from agent.wire.packets import BrokerLimits, Confirmation, Delivery, Publication
from agent.wire.requests import Door
from agent.wire.topics import ResponseTopicRule, Topics
from agent.worker.supervisor import Supervisor

LOG = structlog.get_logger("promptd.agent")

STOP_BUDGET_S = 9.0
RUNNING_SHARE, SENDING_SHARE = 0.6, 0.2
"""Of the stop budget: for prompts that run, and for answers that wait."""
EXIT_INTERNAL = 70
TICK_S = 0.25
NETWORK_LIMIT_S, LOOP_LIMIT_S = 60.0, 30.0
LOOK_S, PRUNE_S, UNPARK_S = 1.0, 60.0, 600.0


class Agent:
    """One device: from the broker to the engine and back."""

    def __init__(
        self,
        settings: Settings,
        outfit: Outfit,
        reload: Callable[[], Settings],
        enrol: Callable[[], Pair] | None = None,
    ) -> None:
        """Take `enrol` as the way to a certificate when the one in use is over."""
        self._settings = settings
        self._reload_settings = reload
        self._notifier = Notifier()
        self._pulse = Pulse()
        self._wake = threading.Event()
        self._wants_reload = False
        self._exit_code: int | None = None
        self._topics = Topics(settings.broker.root, settings.device_id)
        self._lock = hold(settings.state_dir / "lock")
        queue = settings.queue
        self._retention = Retention(size_bytes=queue.history_bytes)
        self._ledger = Ledger(
            settings.state_dir / "ledger.db", Capacity(queue.capacity, queue.max_bytes), self._pulse.beat_here
        )
        self._link = LinkRecord()
        self._broker: Broker
        reconnect = lambda: self._broker.reconnect()  # noqa: E731, PLW0108 -- there is no broker yet
        around = Surroundings(self._topics, self._publish, reconnect, self._wake.set, enrol)
        self._certificate = certificate(settings, around)
        self._compose(settings, outfit)

    def run(self) -> int:
        """Run until a signal or the death of a part; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end(0))
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._ask_for_reload())
        self._start()
        try:
            self._live()
        except Exception as error:  # noqa: BLE001 -- border: like the death of any other thread
            self._died("main", error)
        self._stop()
        return self._exit_code or 0

    def connected(self, limits: BrokerLimits, *, session_present: bool) -> None:
        """Hear from the broker: there is a link."""
        is_session_lost = not session_present and not (self._link.is_first and self._ledger.birth == 1)
        if self._link.is_first and (self._ledger.set_aside or self._ledger.is_lost):
            self._tell("ledger_damaged", set_aside=str(self._ledger.set_aside or "nothing is left of it"))
        if is_session_lost:
            self._tell(
                "session_lost", hint="what waited at the broker is lost; requesters repeat their requests"
            )
        self._link.connected(is_session_lost=is_session_lost)
        self._certificate.connected()
        self._reporter.repeat()
        self._publisher.open(limits)
        self._wake.set()

    def subscribed(self, refusal: str) -> None:
        """Hear from the broker: whether prompts can come."""
        self._link.refusal = refusal
        self._wake.set()

    def disconnected(self, reason: str) -> None:
        """Hear from the broker: there is no link."""
        self._link.disconnected(f"no broker: {reason}")
        self._publisher.shut()
        self._certificate.disconnected(reason)

    def received(self, delivery: Delivery) -> bool:
        """Hear from the broker: a message."""
        if delivery.topic in self._certificate.subscriptions:
            self._certificate.received(delivery)
            return True
        return self._intake.receive(delivery)

    def confirmed(self, confirmation: Confirmation) -> None:
        """Hear from the broker: what became of a publication."""
        self._publisher.confirmed(confirmation)

    def _compose(self, settings: Settings, outfit: Outfit) -> None:
        ledger, beat, meter = self._ledger, self._pulse.watch, Meter()
        self._publisher = Publisher(ledger, self._publish, beat("publisher", LOOP_LIMIT_S))
        endings = Endings(ledger, meter, self._publisher.wake)
        self._dispatcher = Dispatcher(
            ledger, endings, self._publish, beat("dispatcher", LOOP_LIMIT_S), outfit.speeds
        )
        self._supervisor = Supervisor(
            outfit.candidates,
            settings.engine,
            self._dispatcher,
            outfit.misfits(settings.engine.prefer),
            beat("supervisor", LOOP_LIMIT_S),
        )
        self._dispatcher.supervisor = self._supervisor
        filters = settings.broker.response_topics or self._topics.default_response_filters
        self._intake = Intake(
            door=Door(self._topics, outfit.model.name, settings.queue.default_timeout_s),
            terms=Terms(
                ResponseTopicRule(filters),
                settings.queue.max_payload_bytes,
                Rate(settings.queue.rate_per_minute),
            ),
            ledger=ledger,
            dispatcher=self._dispatcher,
            publisher=self._publisher,
            publish=self._publish,
            meter=meter,
        )
        vitals = Vitals(
            self._supervisor, self._dispatcher, ledger, meter, self._link, self._certificate, settings
        )
        self._reporter = Reporter(
            topics=self._topics,
            outfit=outfit,
            vitals=vitals,
            birth=ledger.birth,
            publish=self._publish,
            interval_s=settings.telemetry.interval_s,
        )
        identity = Identity(
            client_id=f"promptd-{settings.device_id}",
            subscriptions=(self._topics.requests, *self._certificate.subscriptions),
            will=health.status(self._topics, "offline", "the connection was lost", ledger.birth),
            max_payload_bytes=settings.queue.max_payload_bytes,
        )
        self._broker = Broker(
            settings.broker, identity, self, beat("network", NETWORK_LIMIT_S), self._certificate.credentials
        )

    def _publish(self, publication: Publication) -> int | None:
        return self._broker.publish(publication)

    def _tell(self, kind: str, **body: str) -> None:
        LOG.warning(kind, **body)
        self._publish(event(self._topics, kind, body))

    def _start(self) -> None:
        bodies = {
            "publisher": self._publisher.run,
            "dispatcher": self._dispatcher.run,
            "supervisor": self._supervisor.run,
            "network": self._broker.run,
        }
        self._threads = {name: spawn(name, body, self._died) for name, body in bodies.items()}
        self._notifier.ready("started")
        LOG.info("agent_started", device=self._settings.device_id, birth=self._ledger.birth)

    def _live(self) -> None:
        rounds = Rounds()
        rounds.add(0, self._certificate.tick)
        rounds.add(0, self._reporter.tick)
        rounds.add(LOOK_S, self._look_for_room)
        rounds.add(PRUNE_S, self._tidy)
        rounds.add(UNPARK_S, self._publisher.retry)
        if interval_s := watchdog_interval_s():
            rounds.add(interval_s, self._feed_watchdog)
        while self._exit_code is None:
            self._wake.wait(TICK_S)
            self._wake.clear()
            rounds.go()
            if self._wants_reload:
                self._reload()

    def _look_for_room(self) -> None:
        if self._ledger.recover():
            self._broker.redeliver()

    def _tidy(self) -> None:
        with contextlib.suppress(DiskShortError):  # another time
            self._ledger.prune(self._retention)

    def _feed_watchdog(self) -> None:
        if late := self._pulse.late():
            LOG.error("loops_late", loops=late)
        else:
            self._notifier.alive()

    def _stop(self) -> None:
        """Let running prompts end, send what is written, put back the rest; name whoever is late."""
        began_s = time.monotonic()
        self._notifier.stopping()
        self._reporter.is_stopping = True
        self._reporter.tick()
        if not self._dispatcher.drain(began_s + STOP_BUDGET_S * RUNNING_SHARE):
            LOG.warning("prompts_put_back", running=self._dispatcher.running_count)
        self._publisher.drain(began_s + STOP_BUDGET_S * (RUNNING_SHARE + SENDING_SHARE))
        self._reporter.farewell()
        self._ledger.stop_waiting()
        for name, stop in (
            ("dispatcher", self._dispatcher.stop),
            ("supervisor", self._supervisor.stop),
            ("publisher", self._publisher.stop),
            ("network", self._broker.stop),
        ):
            stop()
            self._threads[name].join(max(0.1, began_s + STOP_BUDGET_S - time.monotonic()))
            if self._threads[name].is_alive():
                LOG.warning("late_at_stop", thread=name)
        # On a full disk what ran stays "running", and is put back at the next start.
        with contextlib.suppress(DiskShortError):
            self._dispatcher.requeue()
        self._ledger.close()
        LOG.info("agent_stopped", took_s=round(time.monotonic() - began_s, 2), exit_code=self._exit_code)

    def _end(self, exit_code: int) -> None:
        if self._exit_code is None:
            self._exit_code = exit_code
        self._wake.set()

    def _died(self, name: str, error: BaseException) -> None:
        if isinstance(error, DiskShortError) and self._exit_code is not None:
            return
        self._end(error.exit_code if isinstance(error, AgentError) else EXIT_INTERNAL)
        if isinstance(error, AgentError):
            LOG.error("agent_cannot_go_on", thread=name, reason=str(error))
        else:
            LOG.error("thread_died", thread=name, exc_info=error)

    def _ask_for_reload(self) -> None:
        self._wants_reload = True
        self._wake.set()

    def _reload(self) -> None:
        """Read the settings again; log level and telemetry take effect now, the rest at the next start."""
        self._wants_reload = False
        self._notifier.reloading()
        try:
            settings = self._reload_settings()
        except AgentError as error:
            LOG.error("reload_refused", reason=str(error))  # noqa: TRY400 -- one line for the operator
        else:
            self._reporter.interval_s = settings.telemetry.interval_s
            logs.configure(settings.logs)
            waiting = [
                name
                for name in ("device_id", "state_dir", "broker", "queue", "engine")
                if getattr(settings, name) != getattr(self._settings, name)
            ]
            LOG.info("reloaded", waits_for_restart=waiting)
        self._notifier.ready("reloaded")
