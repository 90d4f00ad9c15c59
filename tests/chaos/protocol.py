"""Protocol faults (G12): a fake broker breaks one rule after the other, and the agent must not care."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.mqtt.take_overs import SHORT_LIFE_S
from chaos.cases import CASES, Case
from chaos.device import Device
from chaos.fake_broker import GOOD_MANNERS, FakeBroker, Link, Manners, Prompt
from chaos.packets import Published
from chaos.tally import Finding, Tally

KEEPALIVE_S = 5
ARRIVAL_S = 20.0
"""The agent waits before it dials again, longer with each refusal."""
ANSWER_S, FAREWELL_S, SURVIVAL_S = 10.0, 2 * KEEPALIVE_S + 1.0, 1.0
TABLES = {"broker": {"keepalive_s": KEEPALIVE_S}, "telemetry": {"interval_s": 60}}


@dataclass(slots=True)
class Trial:
    """One case, and what has been heard of its prompts on both connections."""

    case: Case
    prompts: list[Prompt] = field(default_factory=list)
    """Those of the case first; the last one belongs to the connection after it."""
    contents: dict[bytes, list[bytes]] = field(default_factory=dict)
    taken: set[bytes] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def learn(self, link: Link) -> None:
        """Note the endings that came over a connection, and what broke its rules."""
        for one in filter(_is_ending, link.heard):
            self.contents.setdefault(one.correlation, []).append(one.payload)
        self.taken |= {one.correlation for one in filter(_is_ending, link.taken)}
        self.complaints += link.violations

    def has_all(self, link: Link, prompts: Sequence[Prompt]) -> bool:
        """Tell whether every prompt has its ending, here or before."""
        here = {one.correlation for one in filter(_is_ending, link.taken)}
        return {prompt.correlation for prompt in prompts} <= self.taken | here

    def tally(self) -> Tally:
        """Count the prompts of the case."""
        heard = [self.contents.get(prompt.correlation, []) for prompt in self.prompts]
        return Tally(
            expected=len(self.prompts),
            answered=len({prompt.correlation for prompt in self.prompts} & self.taken),
            different=sum(len(set(contents)) > 1 for contents in heard),
            duplicates=sum(max(0, len(contents) - 1) for contents in heard),
        )


def _is_ending(one: Published) -> bool:
    return one.said.get("event") in ("completed", "failed")


def protocol_faults(folder: Path, times: int) -> Finding:
    """Play the first `times` cases to one agent, each on a connection of its own."""
    cases, tally = CASES[:times], Tally()
    complaints: list[str] = []
    recoveries_s: list[float] = []
    with FakeBroker() as broker, Device(folder, broker.url, TABLES) as device:
        for case in cases:
            trial, seen = Trial(case), len(device.child.lines)
            _misbehave(broker, device, trial)
            began_s = time.monotonic()
            _behave(broker, device, trial)
            recoveries_s.append(time.monotonic() - began_s)
            if case.says and not any(case.says in line for line in device.child.lines[seen:]):
                trial.complaints.append(f"the log does not say {case.says!r}")
            complaints += [f"{case.name}: {complaint}" for complaint in dict.fromkeys(trial.complaints)]
            tally += trial.tally()
    return Finding(len(cases), tally, tuple(complaints), recoveries_s=tuple(recoveries_s))


def _admit(broker: FakeBroker, device: Device, trial: Trial, manners: Manners) -> Link | None:
    """Wait for the agent; whoever died is started again, which is a complaint."""
    end_s = time.monotonic() + ARRIVAL_S
    while time.monotonic() < end_s:
        if link := broker.admit(manners, 1.0):
            return link
        if (code := device.exit_code) is not None:
            trial.complaints.append(f"the agent ended with {code}: {device.last_words}")
            device.launch()
    trial.complaints.append("the agent does not dial")
    return None


def _misbehave(broker: FakeBroker, device: Device, trial: Trial) -> None:
    """Play the case on one connection."""
    case = trial.case
    trial.prompts += [Prompt(text=case.text) for _ in range(case.prompts)]
    link = _admit(broker, device, trial, case.manners)
    if link is None:
        return
    link.serve(lambda: link.is_subscribed, SURVIVAL_S)
    for data in case.plays:
        link.send(data)
    if case.hangs_up:
        link.close()
    link.serve(lambda: False, case.idle_s)
    for data in case.deliver(trial.prompts):
        link.send(data)
    _wait_for_the_expected(link, trial)
    link.close()
    trial.learn(link)


def _wait_for_the_expected(link: Link, trial: Trial) -> None:
    prompts = list(trial.prompts)
    match trial.case.expected:
        case "answer" if not link.serve(lambda: trial.has_all(link, prompts), ANSWER_S):
            trial.complaints.append("no answer on this connection")
        case "farewell" if not link.serve(lambda: not link.is_open, FAREWELL_S):
            trial.complaints.append(f"the agent stays on a dead connection for {FAREWELL_S:g} s")
        case "survival":
            link.serve(lambda: bool(prompts) and trial.has_all(link, prompts), SURVIVAL_S)


def _behave(broker: FakeBroker, device: Device, trial: Trial) -> None:
    """Let the agent in properly, ask once more what is open, and one new prompt."""
    trial.prompts.append(Prompt())
    link = _admit(broker, device, trial, GOOD_MANNERS)
    if link is None:
        return
    link.serve(lambda: link.is_subscribed, ANSWER_S)
    for packet_id, prompt in enumerate(trial.prompts, 1):
        if prompt.correlation not in trial.taken:
            link.send(prompt.packet(packet_id))
    if not link.serve(lambda: trial.has_all(link, trial.prompts), ANSWER_S):
        trial.complaints.append("not all prompts are answered on the connection after it")
    link.serve(lambda: False, SHORT_LIFE_S)  # links that live shorter look like another client with this id
    link.close()
    trial.learn(link)
