"""What a chat loses on its way through MQTT: the same engine, in process and behind the agent, in turn."""

import json
import statistics
import time
from typing import Any

from agent.engines.batch import Batch
from agent.engines.options import EngineOptions
from agent.engines.sequence import Request
from agent.wire.prompt import Message, Sampling
from benchmarks.models import model_path
from benchmarks.requester import Requester
from benchmarks.stand import DEVICE, stand

ROUNDS = 31
REST_S = 0.5
"""Between two measurements: an engine's threads spin for a while before they sleep."""
TOKENS = 64
PROMPT = "pump-17 pressure 9.3 bar, limit 8.0 bar. " * 6
THREADS = 2
CONTEXT_TOKENS = 1024


def measure() -> list[tuple[str, str, str]]:
    """Return rows of (what, measured, goal), on random weights of a 360 M-parameter Phi-3 shape."""
    from agent.engines import llama_cpp  # noqa: PLC0415 -- native code only where it is measured

    model = model_path("360m", "gguf")
    engine = llama_cpp.open_engine(EngineOptions("gguf-cpu", model, THREADS, 1, CONTEXT_TOKENS))
    wishes: dict[str, Any] = {"model": str(model), "require": "gguf-cpu", "threads": THREADS, "slots": 1}
    rates: list[tuple[float, float]] = []
    firsts: list[tuple[float, float]] = []
    with (
        stand(wishes | {"context_length": CONTEXT_TOKENS}) as running,
        Requester(running.port, "promptd/v1/client/bench/response/t") as requester,
    ):
        for round_number in range(ROUNDS + 1):
            inside = _in_process(engine)
            time.sleep(REST_S)
            outside = _through_mqtt(requester)
            time.sleep(REST_S)
            if round_number:
                firsts.append((inside[0], outside[0]))
                rates.append((inside[1], outside[1]))
    engine.close()
    ratio = statistics.median(outside / inside for inside, outside in rates)
    more_ms = statistics.median((outside - inside) * 1000 for inside, outside in firsts)
    seen = [statistics.median(column) for column in zip(*rates, strict=True)]
    return [
        (
            "decode speed of one chat through MQTT, of the same engine in process",
            f"{ratio:.3f} ({seen[1]:.1f} against {seen[0]:.1f} tokens/s)",
            "at least 0.97",
        ),
        ("time to first token through MQTT, more than in process", f"{more_ms:.1f} ms", "under 10 ms"),
    ]


def _in_process(engine: Any) -> tuple[float, float]:  # noqa: ANN401 -- any engine of ours
    """Return (seconds to the first token, tokens per second after it)."""
    batch, began_s = Batch(engine), time.perf_counter()
    tokens = tuple(engine.chat_tokens([Message("user", PROMPT)]))
    batch.admit(Request("one", tokens, TOKENS, Sampling()))
    first_s = 0.0
    while not batch.is_idle:
        if batch.step() and not first_s:
            first_s = time.perf_counter() - began_s
    return first_s, (TOKENS - 1) / (time.perf_counter() - began_s - first_s)


def _through_mqtt(requester: Requester) -> tuple[float, float]:
    body = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": TOKENS, "stream": True}
    heard = requester.ask(f"promptd/v1/device/{DEVICE}/request/chat", json.dumps(body).encode())
    first_s = next(at_s for at_s, event, _ in heard if event == "chunk")
    tokens = json.loads(heard[-1][2])["usage"]["completion_tokens"]
    if tokens != TOKENS:
        raise SystemExit(f"the random model ended after {tokens} tokens; choose another seed")
    return first_s, (TOKENS - 1) / (heard[-1][0] - first_s)
