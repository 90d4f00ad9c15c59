"""An engine that takes more memory than its unit may: the kernel kills it, and nothing else."""

from pathlib import Path

from system.device import Device
from system.service import Service

TOO_LITTLE = "[Service]\nMemoryMax=24M\n"


def test_an_engine_beyond_its_memory_limit_is_killed_alone_and_costs_no_prompt(
    agent: Service, engine: Service, device: Device
) -> None:
    before, kills = agent.main_pid, engine.restarts
    engine.drop_in(TOO_LITTLE)
    engine.do("restart")
    ticket = device.send("while memory is short")
    engine.machine.wait_for(lambda: engine.restarts > kills, "a kill by the kernel")
    engine.drop_in("")

    ending = device.ending(ticket, 120)

    assert (ending, agent.main_pid) == ("completed", before)
    assert "status=9/KILL" in engine.journal()
