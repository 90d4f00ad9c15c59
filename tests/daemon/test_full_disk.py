"""A disk that is full: nothing is lost, nothing ends, and everything goes on when there is room.

The limit on the size of files makes every write fail that makes a file larger, as a full disk does.
"""

import contextlib
import signal
from collections.abc import Iterator

import psutil
from rig.box import Box, Ticket, chat
from rig.kinds import StartBox

NO_ROOM_BYTES = 4096


@contextlib.contextmanager
def full_disk(box: Box) -> Iterator[None]:
    """Let no file of the agent grow until the context ends."""
    agent = psutil.Process(box.child.process.pid)
    before = agent.rlimit(psutil.RLIMIT_FSIZE)
    agent.rlimit(psutil.RLIMIT_FSIZE, (NO_ROOM_BYTES, before[1]))
    try:
        yield
    finally:
        if agent.is_running():
            agent.rlimit(psutil.RLIMIT_FSIZE, before)


def text(box: Box, ticket: Ticket) -> str:
    return str(box.ending(ticket).body["choices"][0]["message"]["content"])


def test_prompts_that_come_while_the_disk_is_full_are_answered_when_it_has_room(start_box: StartBox) -> None:
    box = start_box()

    with full_disk(box):
        tickets = [box.send(chat(f"number {n} of many")) for n in range(12)]
        box.wait_for_state("blocked")

    assert [text(box, ticket) for ticket in tickets] == [f"number {n} of many" for n in range(12)]


def test_an_answer_that_is_ready_while_the_disk_is_full_is_not_lost(start_box: StartBox) -> None:
    box = start_box()

    with contextlib.ExitStack() as disk:
        with box.busy_engine() as running:
            disk.enter_context(full_disk(box))
        box.wait_for_state("blocked")

    assert text(box, running) == "holds the slot"


def test_an_agent_with_a_full_disk_still_reports_and_stops_when_asked(start_box: StartBox) -> None:
    box = start_box()

    with full_disk(box):
        box.send(chat("never mind"))
        box.wait_for_state("blocked")
        box.child.send_signal(signal.SIGTERM)
        code = box.child.wait()

    assert code == 0
    assert box.wait_for_state("offline").body["reason"] == "stopped"
