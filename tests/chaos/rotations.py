"""Certificates that live for seconds: renewed again and again on the running link, under load."""

import contextlib
import datetime as dt
import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig.box import DEVICE
from rig.plant import CLAIM, PASSPHRASE, Plant
from rig.process import Child

from agent.identity.pair import Pairs
from chaos.device import Device, Tables
from chaos.requester import Requester
from chaos.stand import WINDOW
from chaos.tally import Finding, late
from provisioning.authority.root import make_issuing, make_root

SERIAL = "S17"
LIFE_S = 30.0
"""From now on; the certificate also begins an hour ago, so the next one is due at once and the box degraded.
The shorter the time left, the shorter the rests between two requests: a tenth of it."""
LIFE_EACH_S = 12.0
"""For each renewal that fails: the certificate before them must outlive them all."""
REFUSED_PART = 5
STRANGER = "stranger"
TRIED_IN_VAIN = "with the new certificate there is no link"
GAP_S = 2.0
PATIENCE_S = 60.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class _Stage:
    """A fleet of one box that is asked without pause, and the service that renews its certificate."""

    plant: Plant
    service: Child
    requester: Requester
    device: Device

    @property
    def serial_number(self) -> int:
        """Of the certificate in use; 0 when there is none."""
        pair = Pairs(self.device.state_dir / "identity").current
        return pair.serial_number if pair else 0

    def finish(self, done: int, missing: list[str]) -> Finding:
        """Count, and say where the goal is not met.

        The log has each link; what it leaves out (the goodbye, the subscriptions) is in the longest silence.
        """
        silence_s = self.requester.longest_silence_s
        tally = self.requester.settle()
        self.device.look()
        gaps_s = [*_gaps_s(list(self.device.child.lines)), silence_s]
        found = (*tally.complaints(), *self.device.surprises, *missing)
        return Finding(done, tally, found, tuple(late(gaps_s, GAP_S)), tuple(gaps_s))


def rotations(folder: Path, times: int) -> Finding:
    """Have so many certificates follow each other, and a fifth as many that the broker does not take."""
    renewed = _renewed(folder / "renewed", times)
    refused = _refused(folder / "refused", max(1, times // REFUSED_PART))
    return Finding(
        renewed.tried + refused.tried,
        renewed.tally + refused.tally,
        (*renewed.complaints, *refused.complaints),
        (*renewed.delays, *refused.delays),
        (*renewed.recoveries_s, *refused.recoveries_s),
    )


def _renewed(folder: Path, times: int) -> Finding:
    with _stage(folder, LIFE_S) as stage:
        done = 0
        while done < times and stage.device.wait_for_more("certificate_renewed", done, PATIENCE_S):
            done += 1
        missing = f"only {done} of {times} certificates came: {stage.device.last_words}"
        return stage.finish(done, [missing] if done < times else [])


def _refused(folder: Path, times: int) -> Finding:
    """Have an authority sign that the broker does not know: each time the old certificate must stay."""
    with _stage(folder, max(LIFE_S, times * LIFE_EACH_S)) as stage:
        is_renewed = stage.device.wait_for_more("certificate_renewed", 0, PATIENCE_S)
        _let_a_stranger_sign(stage)
        serial_number, done = stage.serial_number, 0
        while done < times and stage.device.wait_for_more(TRIED_IN_VAIN, done, PATIENCE_S):
            done += 1
        stage.requester.probe()
        missing = [] if is_renewed else ["the certificate before the failures did not come"]
        if done < times:
            missing.append(f"only {done} of {times} renewals failed: {stage.device.last_words}")
        if stage.serial_number != serial_number:
            missing.append("the old certificate did not stay")
        return stage.finish(done, missing)


def _let_a_stranger_sign(stage: _Stage) -> None:
    plant, folder = stage.plant, stage.plant.places.authority / STRANGER
    stage.service.end()
    folder.mkdir()
    make_root(folder, "Strange root", PASSPHRASE)
    make_issuing(folder, "Strange issuing", lambda: PASSPHRASE, PASSPHRASE)
    plant.change(
        authority=f"kind: files, certificate_file: {STRANGER}/issuing.pem, "
        f"key_file: {STRANGER}/issuing.key, passphrase_file: passphrase, authorities_file: root.pem"
    )
    plant.start_service()


@contextlib.contextmanager
def _stage(folder: Path, life_s: float) -> Iterator[_Stage]:
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        plant = Plant(folder, stack, devices={DEVICE: SERIAL}, needs="serial", days=life_s / DAY_S)
        plant.start_broker()
        service = plant.start_service()
        tester = plant.places.client("tester")
        requester = stack.enter_context(Requester(plant.port, name="tester", tls=plant.tls(tester)))
        device = stack.enter_context(Device(folder / DEVICE, plant.url, _tables(plant)))
        requester.probe()
        requester.keep_asking(WINDOW)
        yield _Stage(plant, service, requester, device)


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
