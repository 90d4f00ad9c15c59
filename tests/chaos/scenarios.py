"""Every scenario: what is broken, how often in the short and in the long form, and what is demanded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos import bad_models, hosts, kills, links, power, protocol, rotations, watchdog, workers, writes
from chaos.cases import CASES, QUICK
from chaos.tally import Finding
from chaos.workers import ENDS

LONG_MINUTES = 165.0
"""What the long form takes on 2 cores."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table."""

    name: str
    fault: str
    demand: str
    """Beside that nothing is lost and that no request hears two different answers."""
    run: Callable[[Path, int], Finding]
    short: int
    """How often in the short form; 0 leaves it out."""
    long: int
    at_least: int = 1
    """However short the long form is made."""

    def times(self, *, is_short: bool, scale: float) -> int:
        """Return how often it is tried."""
        return self.short if is_short else max(self.at_least, round(self.long * scale))


SCENARIOS = (
    Scenario(
        "agent-kills",
        "kill -9 of the agent under load",
        "at most 4 duplicates a kill, beside repeated requests",
        kills.agent_kills,
        5,
        1000,
    ),
    Scenario(
        "agent-kills-gguf",
        "the same with llama.cpp",
        "at most 4 duplicates a kill, beside repeated requests",
        kills.agent_kills_gguf,
        0,
        30,
    ),
    Scenario(
        "crash-points",
        "the agent dies at 12 named steps of a prompt",
        "a prompt that it dies of three times ends as `engine_crashed`",
        kills.crash_points,
        12,
        600,
        12,
    ),
    Scenario(
        "power-cuts",
        "power cuts, replayed from recorded writes",
        "every acknowledged row is there, the file is sound; without syncs more than half lose rows",
        power.power_cuts,
        150,
        10_000,
        100,
    ),
    Scenario("broker-restarts", "the broker is restarted", "", links.broker_restarts, 2, 200),
    Scenario(
        "broker-kills",
        "kill -9 of the broker, requests are repeated",
        "",
        links.broker_kills,
        2,
        200,
    ),
    Scenario(
        "bad-links",
        "bad links in 9 ways",
        "noticed within twice the keepalive and a second, back 5 s after the repair",
        links.bad_links,
        4,
        225,
        9,
    ),
    Scenario(
        "offline-shapes",
        "the link is off and on: 0.5 s and 0.5 s, 3 s and 3 s",
        "",
        links.offline_shapes,
        7,
        35,
        7,
    ),
    Scenario(
        "rotations",
        "the certificate changes on the running link; one in six is refused by the broker",
        "the link is back within 2 s; the old certificate stays where the new one is refused",
        rotations.rotations,
        3,
        100,
    ),
    Scenario(
        "full-disk",
        "the disk is full, or writes fail",
        "the agent lives, tells `blocked` within 2 s, is back 5 s after the repair",
        hosts.full_disk,
        2,
        20,
        2,
    ),
    Scenario(
        "failing-writes",
        "the n-th write or sync fails, and all after it: n to 200, by EIO and ENOSPC",
        "the agent lives, tells `blocked` within 2 s, is back 5 s after the repair",
        writes.failing_writes,
        6,
        400,
        2,
    ),
    Scenario(
        "watchdog",
        "a thread stands still; the database is locked, or the broker down, for a minute",
        "no ping 10 s after the limit of the loop (30 s, network 60 s); "
        "pings go on where no new start would help",
        watchdog.watchdog,
        3,
        35,
        5,
    ),
    Scenario(
        "worker-deaths",
        "the engine worker ends in 10 ways: signals, exits, hangs, nonsense, out of memory",
        "seen within 0.5 s (hangs: 3 s after their clock), never green for more than a second, no orphans, "
        "answers again after 5 s",
        workers.worker_deaths,
        len(ENDS),
        500,
        len(ENDS),
    ),
    Scenario(
        "worker-hangs",
        "the engine worker hangs, by the clocks of the product",
        "noticed by its silence, and replaced",
        workers.worker_hangs,
        0,
        2,
    ),
    Scenario(
        "poison",
        "a prompt that kills the engine",
        "exactly 3 attempts, one error; every neighbour is answered",
        kills.poison,
        1,
        100,
    ),
    Scenario(
        "protocol",
        "a broker that breaks the rules",
        "the agent lives, keeps the limits of the broker, and answers on the next good connection",
        protocol.protocol_faults,
        len(QUICK),
        len(CASES),
        len(CASES),
    ),
    Scenario(
        "starts-and-stops",
        "stopped and started, idle and busy",
        "ready within 2 s, stopped within 1 s (busy: 10 s)",
        hosts.starts_and_stops,
        2,
        100,
    ),
    Scenario(
        "bad-models",
        "one bit of the model is flipped, or the file is swapped",
        "all refused: native code sees none, or does not serve with it",
        bad_models.bad_models,
        10,
        1200,
        bad_models.AGENT_EVERY,
    ),
    Scenario(
        "clock-jumps",
        "the clock jumps by decades",
        "nothing expires by it",
        hosts.clock_jumps,
        3,
        50,
        5,
    ),
    Scenario(
        "two-agents",
        "two agents with one id",
        "the second in one folder is refused within 1 s; after 3 minutes at most 2 lost links a minute",
        links.two_agents,
        6,
        250,
        6,
    ),
)
