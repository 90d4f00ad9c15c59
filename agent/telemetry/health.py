"""What the box tells about itself: status, info and health, computed from facts and never from hope."""

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import psutil

from agent import __version__
from agent.flow.dispatcher import Dispatcher
from agent.flow.ledger import Ledger
from agent.flow.meter import Meter
from agent.hardware.facts import Facts, Gpu, Unknown
from agent.hardware.probe import probe_gpus
from agent.identity.certificate import Certificate
from agent.settings import Settings
from agent.telemetry.link import LinkRecord
from agent.wire.packets import Publication
from agent.wire.topics import Topics
from agent.worker.supervisor import EngineState, Supervisor

State = Literal["starting", "ready", "degraded", "blocked", "stopping", "offline"]

SENSORS = ("coretemp", "k10temp", "cpu_thermal", "tj-thermal", "gpu-thermal", "soc_thermal")


def timestamp() -> str:
    """Return the time of day, UTC, as RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status(topics: Topics, state: State, reason: str, birth: int) -> Publication:
    """Return the retained status; `birth` tells a late will of an old session from a new status."""
    body = {"state": state, "reason": reason, "since": timestamp(), "birth": birth}
    return _retained(topics.status, body, qos=1)


def info(
    topics: Topics,
    engine: EngineState,
    facts: Facts,
    verdicts: list[dict[str, Any]],
    certificate: dict[str, Any] | None,
) -> Publication:
    """Return what this device is and runs."""
    effective = engine.badge.variant if engine.badge else None
    is_calibrated = any(one["variant"] == effective and one["speeds"] for one in verdicts)
    body = {
        "device": topics.device,
        "version": __version__,
        "time": timestamp(),
        "engine": engine_body(engine) | {"is_calibrated": is_calibrated},
        "hardware": {
            "cpu": facts.cpu.model if isinstance(facts.cpu.model, str) else None,
            "architecture": facts.cpu.architecture,
            "usable_cores": facts.cpu.usable_physical_cores,
            "memory_bytes": None if isinstance(facts.memory, Unknown) else facts.memory.total_bytes,
            "gpus": [] if isinstance(facts.gpus, Unknown) else [gpu.name for gpu in facts.gpus],
            "fingerprint": facts.fingerprint,
        },
        "variants": verdicts,
        "certificate": certificate,
    }
    return _retained(topics.info, body, qos=1)


def engine_body(engine: EngineState) -> dict[str, Any]:
    """Return what was wanted, what really runs, and why."""
    return {
        "requested": engine.requested,
        "effective": engine.badge.variant if engine.badge and engine.phase == "ready" else None,
        "phase": engine.phase,
        "reason": engine.reason,
        "falls": list(engine.falls),
        "model": engine.badge.model if engine.badge else None,
        "model_sha256": engine.badge.model_sha256 if engine.badge else None,
        **(asdict(engine.facts) if engine.facts else {}),
    }


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a health report is computed from."""

    supervisor: Supervisor
    dispatcher: Dispatcher
    ledger: Ledger
    meter: Meter
    link: LinkRecord
    certificate: Certificate
    settings: Settings
    started_s: float = field(default_factory=time.monotonic)


def health(topics: Topics, vitals: Vitals, state: State, gpus: tuple[Gpu, ...] | Unknown) -> Publication:
    """Return how this device is doing."""
    depth, capacity = vitals.ledger.depth(), vitals.settings.queue.capacity
    engine = engine_body(vitals.supervisor.state) | {
        "active": vitals.dispatcher.running_count,
        "restarts": dict(vitals.supervisor.state.restarts),
        "last_token_age_s": round(vitals.dispatcher.silence_s, 1),
    }
    body = {
        "time": timestamp(),
        "state": state,
        "version": __version__,
        "uptime_s": round(time.monotonic() - vitals.started_s, 1),
        "engine": engine,
        "queue": asdict(depth)
        | {
            "capacity": capacity,
            "oldest_age_s": round(depth.oldest_age_s, 1),
            "damaged_ledger": _damaged(vitals.ledger),
        },
        "link": vitals.link.body(),
        "certificate": vitals.certificate.body(),
        "requests": vitals.meter.requests(),
        "speed": vitals.meter.speed(),
        "host": host(str(vitals.settings.state_dir)),
        "gpu": _gpus() if isinstance(gpus, tuple) else None,
    }
    return _retained(topics.health, body, qos=0)


def _damaged(ledger: Ledger) -> str | None:
    return str(ledger.set_aside) if ledger.set_aside else "gone" if ledger.is_lost else None


def _gpus() -> list[dict[str, Any]]:
    """Look again: the free memory of a GPU is other people's business too."""
    gpus = probe_gpus()
    return [
        {
            "name": gpu.name,
            "memory_free_bytes": _known(gpu.memory_free_bytes),
            "memory_total_bytes": _known(gpu.memory_total_bytes),
        }
        for gpu in (gpus if isinstance(gpus, tuple) else ())
    ]


def _known(value: int | Unknown) -> int | None:
    return None if isinstance(value, Unknown) else value


def host(state_dir: str) -> dict[str, Any]:
    """Return how the machine around us is doing."""
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(state_dir)
    return {
        "cpu_percent": psutil.cpu_percent(),
        "memory_available_bytes": memory.available,
        "memory_total_bytes": memory.total,
        "temperature_c": _temperature_c(),
        "disk_free_bytes": disk.free,
        "agent_rss_bytes": psutil.Process().memory_info().rss,
    }


def _temperature_c() -> float | None:
    """Return the processor's temperature; many boards and all virtual machines have no sensor."""
    sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    known = [readings for name, readings in sensors.items() if name in SENSORS]
    return next((readings[0].current for readings in known or sensors.values() if readings), None)


def _retained(topic: str, body: dict[str, Any], qos: int) -> Publication:
    payload = json.dumps(body, separators=(",", ":")).encode()
    return Publication(topic, payload, qos=qos, retain=True)
