"""An engine that takes more memory than its unit may: the kernel kills the worker, and nothing else."""

from system.device import Device
from system.service import Service

TOO_LITTLE = "[Service]\nMemoryMax=32M\n"
"""The keeper has room in it; an engine with a model has not."""


def test_an_engine_beyond_its_memory_limit_is_killed_alone_and_costs_no_prompt(
    agent: Service, engine: Service, device: Device
) -> None:
    before = agent.main_pid
    engine.drop_in(TOO_LITTLE)
    engine.do("restart")
    keeper = engine.main_pid
    ticket = device.send("while memory is short")
    engine.machine.wait_for(
        lambda: "out of memory while it loaded" in agent.journal(), "a kill by the kernel"
    )

    engine.drop_in("")

    assert device.ending(ticket, 120) == "completed"
    assert (agent.main_pid, engine.main_pid) == (before, keeper)
