"""Brokers that restart (G4) or die (G5), links that go bad (G6, G7), and a twin with the same id (G26)."""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.mqtt.take_overs import LONGEST_REST_S, SHORT_LIFE_S
from chaos.device import Device
from chaos.proxy import FAIR, HALF_OPEN, Proxy, Weather
from chaos.stand import WINDOW, Stand, stand
from chaos.tally import Finding

KEEPALIVE_S = 5
DETECTION_S = 2 * KEEPALIVE_S + 1.0
RECONNECT_S = 5.0
OUTAGE_S = 3.0
SHAPES = ((0.5, 25), (3.0, 10))
"""Seconds without and then with a link, and how often: those of Azure IoT Edge's tests, ten times as fast."""
CHATTER = 8
"""Requests that must come through bad weather, one after the other."""
TWIN_LIMIT, MINUTE_S, STORM_S = 2, 60.0, 180.0
"""Lost links a minute that two agents may have together, once they have fought for three minutes."""
REFUSAL_S = 1.0
CONFIGURATION = 78
"""Exit code: a person must mend the settings."""


def broker_restarts(folder: Path, times: int) -> Finding:
    """Restart the broker by SIGTERM: it keeps its sessions."""
    return _restart_brokers(folder, times, signal.SIGTERM)


def broker_kills(folder: Path, times: int) -> Finding:
    """Kill -9 the broker: it forgets sessions and messages, and only the repeated request covers that."""
    return _restart_brokers(folder, times, signal.SIGKILL)


def _restart_brokers(folder: Path, times: int, number: signal.Signals) -> Finding:
    with stand(folder) as s:
        for _ in range(times):
            time.sleep(s.rng.uniform(SHORT_LIFE_S, 2 * SHORT_LIFE_S))
            s.broker.stop(number)
            time.sleep(s.rng.uniform(0, 1))
            s.broker.start()
            s.recover()
        return s.finish(times)


@dataclass(frozen=True, slots=True)
class LinkFault:
    """One way in which the link between agent and broker goes bad."""

    name: str
    weather: Weather = FAIR
    breaks: Callable[[Proxy], None] | None = None
    is_noticed: bool = False
    """Nothing passes: the agent must find out by itself."""


def _refuse(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.cut()
    time.sleep(OUTAGE_S)


LINK_FAULTS = (
    LinkFault("cut by RST", breaks=Proxy.cut),
    LinkFault("every byte alone", Weather(slice_bytes=1)),
    LinkFault("connection refused", breaks=_refuse),
    LinkFault("2 % of the packets are lost", Weather(loss=0.02, slice_bytes=512)),
    LinkFault("600 ms there and back", Weather(latency_s=0.3)),
    LinkFault("50 kbit/s", Weather(bytes_per_s=6250, slice_bytes=512)),
    LinkFault("silent in both directions", HALF_OPEN, is_noticed=True),
    LinkFault("silent to the agent", Weather(silent=frozenset({"down"})), is_noticed=True),
    LinkFault("silent to the broker", Weather(silent=frozenset({"up"})), is_noticed=True),
)


def bad_links(folder: Path, times: int) -> Finding:
    """Make the link bad in every way in turn; fair weather brings the agent back soon."""
    with stand(folder, tables={"broker": {"keepalive_s": KEEPALIVE_S}}, has_proxy=True) as s:
        for number in range(times):
            fault = LINK_FAULTS[number % len(LINK_FAULTS)]
            lost = s.device.count("broker_link_lost")
            s.proxy.weather = fault.weather
            if fault.breaks:
                fault.breaks(s.proxy)
            elif fault.is_noticed:
                if not s.device.wait_for_more("broker_link_lost", lost, DETECTION_S):
                    s.complaints.append(f"{fault.name}: not noticed within {DETECTION_S:g} s")
            else:
                _chat(s, fault.name)
            s.proxy.heal()
            s.recover()
            time.sleep(SHORT_LIFE_S)  # links that live shorter look like another client with this id
        return s.finish(times, goal_s=RECONNECT_S)


def _chat(s: Stand, weather: str) -> None:
    """Ask through the bad weather."""
    unheard = sum(math.isinf(s.requester.probe()) for _ in range(CHATTER))
    if unheard:
        s.complaints.append(f"{weather}: {unheard} of {CHATTER} requests did not come through")


def offline_shapes(folder: Path, times: int) -> Finding:
    """Cut the link and mend it at a steady pace, under load; a share of the outages is long."""
    whole = sum(count for _, count in SHAPES)
    with stand(folder, has_proxy=True) as s:
        for pace_s, count in SHAPES:
            for _ in range(max(1, round(times * count / whole))):
                s.proxy.refuse()
                s.proxy.cut()
                time.sleep(pace_s)
                s.proxy.heal()
                time.sleep(pace_s)
        s.recover(timeout_s=2 * LONGEST_REST_S)
        return s.finish(times, goal_s=LONGEST_REST_S + RECONNECT_S)


def two_agents(folder: Path, duration_s: int) -> Finding:
    """Start a second agent in the same folder, and then a twin elsewhere with the same id."""
    with stand(folder) as s:
        s.requester.settle()
        _start_second(s, folder)
        with Device(folder / "twin", s.broker.url) as twin:
            agents = (s.device, twin)
            time.sleep(max(0.0, duration_s - MINUTE_S))
            before = sum(agent.count("broker_link_lost") for agent in agents)
            time.sleep(min(MINUTE_S, duration_s))
            lost = sum(agent.count("broker_link_lost") for agent in agents) - before
            twin.look()
            s.complaints += twin.surprises
        if duration_s > STORM_S and lost > TWIN_LIMIT:
            s.complaints.append(f"two agents with one id still cut each other off, {lost} times a minute")
        s.recover(timeout_s=2 * MINUTE_S)
        s.requester.keep_asking(WINDOW)
        s.recover()
        return s.finish(1, goal_s=MINUTE_S)


def _start_second(s: Stand, folder: Path) -> None:
    """Start an agent on the state folder of the first; it must refuse at once."""
    began_s = time.monotonic()
    with Device(folder, s.broker.url) as second:
        second.wait_for_end(10)
        took_s = time.monotonic() - began_s
        if second.exit_code != CONFIGURATION:
            s.complaints.append(f"a second agent in the same folder ended with {second.exit_code}")
        if took_s > REFUSAL_S:
            s.delays.append(f"a second agent in the same folder took {took_s:.1f} s to be refused")
