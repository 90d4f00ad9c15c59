"""Deaths of the agent, at any moment (G1) and at each step of a prompt (G2), and prompts that kill (G10)."""

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

from chaos.crash_points import POINTS, THIRD_CRASH
from chaos.device import INJECTED, Device, Tables
from chaos.stand import Stand, stand
from chaos.tally import CALM, Finding

PUBLISHER_WINDOW = 4
"""Answers in flight: so many may come twice after a death."""
CRASHED = CALM | {"engine_crashed"}
EARLY = 0.25
"""Share of the kills that hit an agent which is still starting."""
TRAP_S = 30.0
GGUF: Tables = {"engine": {"require": "gguf-cpu", "slots": 2, "context_length": 512}}
SIGNALS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL)
ATTEMPTS = 3
"""What a prompt may take with it before it is given up."""


def agent_kills(folder: Path, times: int) -> Finding:
    """Kill -9 the agent while it answers, and sometimes while it starts."""
    return _kill_agents(folder, times)


def agent_kills_gguf(folder: Path, times: int) -> Finding:
    """Do the same to an agent with a real model."""
    return _kill_agents(folder, times, GGUF, is_echo=False)


def _kill_agents(folder: Path, times: int, tables: Tables | None = None, *, is_echo: bool = True) -> Finding:
    with stand(folder, tables=tables, is_echo=is_echo) as s:
        for _ in range(times):
            s.device.kill()
            s.device.launch()
            if s.rng.random() < EARLY:
                time.sleep(s.rng.uniform(0, 1))
            else:
                s.recover()
                time.sleep(s.rng.uniform(0, 0.3))
        s.recover()
        return _with_bound(s.finish(times, allowed=CRASHED), deaths=times)


def _with_bound(finding: Finding, deaths: int) -> Finding:
    """Complain of more answers on the wire than deaths and repetitions explain."""
    bound = PUBLISHER_WINDOW * deaths + finding.tally.repeats
    if finding.tally.duplicates <= bound:
        return finding
    excess = f"{finding.tally.duplicates} duplicates, where {bound} can be explained"
    return replace(finding, complaints=(*finding.complaints, excess))


def crash_points(folder: Path, times: int) -> Finding:
    """Let the agent die at each named point in turn, then three times at the same prompt."""
    with stand(folder) as s:
        for number in range(times):
            point = POINTS[number % len(POINTS)]
            if not _trap(s.device, point, s.rng.randint(1, 8)):
                s.complaints.append(f"the agent did not die {point}: {s.device.last_words}")
        s.device.kill()
        s.device.launch()
        s.recover()
        _crash_thrice(s)
        return _with_bound(s.finish(times + ATTEMPTS, allowed=CRASHED), deaths=times + ATTEMPTS)


def _trap(device: Device, point: str, count: int) -> bool:
    """Start an agent that dies at the point; tell whether it did."""
    device.kill()
    device.launch(("chaos.crash_points", point, str(count)))
    return device.wait_for_end(TRAP_S) and device.exit_code == -signal.SIGKILL


def _crash_thrice(s: Stand) -> None:
    """Ask what the agent dies of, three times; the fourth life must answer that it gives up."""
    s.requester.settle()
    s.device.kill()
    question = s.requester.ask("the last of three")
    deaths = sum(_trap(s.device, THIRD_CRASH, 1) for _ in range(ATTEMPTS))
    s.device.launch()
    s.requester.wait_for(question)
    code = _code(question.answers[0]) if question.answers else "no answer"
    if (deaths, code) != (ATTEMPTS, "engine_crashed"):
        s.complaints.append(f"a prompt that the agent died of {deaths} times ended with {code}")


def _code(answer: bytes) -> str:
    body = json.loads(answer)
    return str(body["error"]["code"]) if "error" in body else "completed"


def poison(folder: Path, times: int) -> Finding:
    """Ask what the engine dies of, among harmless neighbours: three deaths, one error, nobody else harmed."""
    with stand(folder, environment=INJECTED) as s:
        for number in range(times):
            if number:
                s.restart()
            deadly = SIGNALS[number % len(SIGNALS)].name
            question = s.requester.ask(f"poison {number} !{deadly}!")
            s.requester.wait_for(question)
            s.recover()
            if (deaths := s.device.count("engine_died")) != ATTEMPTS:
                s.complaints.append(f"the worker died {deaths} times of !{deadly}!, not {ATTEMPTS} times")
        finding = s.finish(times, allowed=CRASHED)
    harmed = finding.tally.answered - finding.tally.outcomes["completed"] - times
    words = (f"{harmed} more prompts than the {times} poisonous ones were not answered",) if harmed else ()
    return replace(finding, complaints=(*finding.complaints, *words))
