"""What promptd adds to a message: round trips with `echo` and with a bare paho echo, in turn."""

from typing import Any

from benchmarks.percentile import percentile
from benchmarks.requester import Requester, connected
from benchmarks.stand import DEVICE, stand

ROUNDS = 400
WARM_UP = 20
BARE_TOPIC = "bench/bare/request"


def measure() -> list[tuple[str, str, str]]:
    """Return rows of (what, measured, goal)."""
    with stand({"require": "echo"}) as running:
        bare = connected(running.port, _echo)
        bare.subscribe(BARE_TOPIC, qos=1)
        through_agent: list[float] = []
        through_paho: list[float] = []
        with Requester(running.port, "promptd/v1/client/bench/response/a") as requester:
            for round_number in range(ROUNDS + WARM_UP):
                agent_s = requester.ask(f"promptd/v1/device/{DEVICE}/request/chat", b"hello", is_json=False)[
                    -1
                ][0]
                paho_s = requester.ask(BARE_TOPIC, b"hello", is_json=False)[-1][0]
                if round_number >= WARM_UP:
                    through_agent.append(agent_s * 1000)
                    through_paho.append(paho_s * 1000)
        bare.disconnect()
        bare.loop_stop()
    rows = []
    for q, goal_ms in ((50, 12), (99, 40)):
        agent_ms, paho_ms = percentile(through_agent, q), percentile(through_paho, q)
        what = f"round trip with `echo`, p{q}: more than a bare paho echo"
        seen = f"{agent_ms - paho_ms:.1f} ms ({agent_ms:.1f} against {paho_ms:.1f})"
        rows.append((what, seen, f"under {goal_ms} ms"))
    return rows


def _echo(client: Any, _data: object, message: Any) -> None:  # noqa: ANN401 -- a paho callback
    client.publish(message.properties.ResponseTopic, message.payload, qos=1)
