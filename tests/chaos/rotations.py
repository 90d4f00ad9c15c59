"""Certificates that live for seconds: renewed again and again on the running link, under load."""

import datetime as dt
import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rig.box import DEVICE
from rig.plant import CLAIM, Plant

from chaos.device import Device, Tables
from chaos.requester import Requester
from chaos.stand import WINDOW
from chaos.tally import Finding, late

SERIAL = "S17"
LIFE_S = 30.0
"""From now on; the certificate also begins an hour ago, so the next one is due at once and the box degraded.
The shorter the time left, the shorter the rests between two requests: a tenth of it."""
GAP_S = 2.0
PATIENCE_S = 60.0
DAY_S = 86_400.0


def rotations(folder: Path, times: int) -> Finding:
    """Have so many certificates follow each other."""
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        devices = {DEVICE: SERIAL}
        plant = Plant(folder, stack, devices=devices, needs="serial", days=LIFE_S / DAY_S)
        plant.start_broker()
        plant.start_service()
        tester = plant.places.client("tester")
        requester = stack.enter_context(Requester(plant.port, name="tester", tls=plant.tls(tester)))
        device = stack.enter_context(Device(folder / DEVICE, plant.url, _tables(plant)))
        requester.probe()
        requester.keep_asking(WINDOW)
        done = 0
        while done < times and device.wait_for_more("certificate_renewed", done, PATIENCE_S):
            done += 1
        tally = requester.settle()
        device.look()
        gaps_s = _gaps_s(list(device.child.lines))
    missing = [f"only {done} of {times} certificates came: {device.last_words}"] if done < times else []
    found = (*tally.complaints(), *device.surprises, *missing)
    return Finding(done, tally, found, tuple(late(gaps_s, GAP_S)), tuple(gaps_s))


def _tables(plant: Plant) -> Tables:
    claim = plant.places.claim(CLAIM)
    return {
        "broker": {"ca_file": str(plant.ca_file)},
        "identity": {
            "claim_cert_file": str(claim / "cert.pem"),
            "claim_key_file": str(claim / "key.pem"),
            "serial": SERIAL,
        },
        "queue": {"rate_per_minute": 0},
        "logs": {"format": "json", "level": "info"},
    }


def _gaps_s(lines: list[str]) -> list[float]:
    """Return how long each link was away that ended because the certificate changes."""
    gaps_s: list[float] = []
    lost_s = math.nan
    for line in lines:
        said = _entry(line)
        match said.get("event"):
            case "broker_link_lost" if said["reason"] == "the certificate changes":
                lost_s = _seconds(said["timestamp"])
            case "broker_connected" if not math.isnan(lost_s):
                gaps_s.append(_seconds(said["timestamp"]) - lost_s)
                lost_s = math.nan
    return gaps_s


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _seconds(stamp: str) -> float:
    return dt.datetime.fromisoformat(stamp).timestamp()
