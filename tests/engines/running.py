"""How the tests of this room let engines work."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import agent
from agent.engines.batch import Batch
from agent.engines.contract import Engine, Feed, Logits
from agent.engines.options import EngineOptions
from agent.engines.sequence import Request
from agent.models.manifest import Model
from agent.models.store import Store
from agent.wire.prompt import Sampling

SLOTS, CONTEXT, THREADS = 4, 512, 1
ANSWER_TOKENS = 200
LONGEST_RUN = 4000
"""Steps after which a loop that should have ended is broken."""


@dataclass(frozen=True, slots=True)
class Variant:
    """An engine variant, and the module of ours that runs it here."""

    name: str
    module: str


@dataclass(frozen=True, slots=True)
class Golden:
    """A held-out prompt with the tokens and the greedy float32 answer of Hugging Face."""

    prompt: str
    tokens: tuple[int, ...]
    answer: str


def demo() -> Model:
    return Store(Path("none")).resolve("demo")


def read_golden() -> tuple[Golden, ...]:
    path = Path(agent.__file__).parent / "models" / "demo" / "golden.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Golden(one["prompt"], tuple(one["prompt_ids"]), one["answer"]) for one in entries)


def weights_of(variant: Variant) -> Path | None:
    if variant.name == "echo":
        return None
    model = demo()
    return model.path_for(variant.name if model.variant_for(variant.name) else "onnx-cpu-int4")


def open_variant(
    variant: Variant, weights: Path | None = None, *, slots: int = SLOTS, cache_tokens: int = 0
) -> Engine:
    model = weights or weights_of(variant)
    options = EngineOptions(
        variant.name, model, threads=THREADS, slots=slots, context_length=CONTEXT, cache_tokens=cache_tokens
    )
    engine: Engine = import_module(variant.module).open_engine(options)
    return engine


class Witness:
    """An engine that counts its forward steps and keeps a copy of the logits of every slot."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.steps: list[list[Feed]] = []
        self.seen: dict[int, list[bytes]] = {}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever the engine has
        return getattr(self._engine, name)

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        self.steps.append(list(feeds))
        logits = self._engine.forward(feeds)
        for feed, rows in zip(feeds, logits, strict=True):
            self.seen.setdefault(feed.slot, []).extend(row.tobytes() for row in rows)
        return logits


def request(
    name: str,
    tokens: Sequence[int],
    max_tokens: int | None = ANSWER_TOKENS,
    stop: tuple[str, ...] = (),
    sampling: Sampling | None = None,
) -> Request:
    return Request(name, tuple(tokens), max_tokens, sampling or Sampling(), stop)


def finish(batch: Batch, waiting: Sequence[Request] = ()) -> dict[str, str]:
    """Step until nothing runs, admitting whenever a slot is free; return the texts by name."""
    queue, texts = list(waiting), dict[str, str]()
    for _ in range(LONGEST_RUN):
        while queue and not batch.is_full:
            batch.admit(queue.pop(0))
        if batch.is_idle:
            return texts
        for step in batch.step():
            texts[step.id] = texts.get(step.id, "") + step.text
    raise AssertionError("the batch does not come to an end")


def together(engine: Engine, prompts: Sequence[Sequence[int]]) -> list[str]:
    texts = finish(Batch(engine), [request(str(n), tokens) for n, tokens in enumerate(prompts)])
    return [texts[str(n)] for n in range(len(prompts))]


def alone(engine: Engine, prompts: Sequence[Sequence[int]]) -> list[str]:
    return [together(engine, [tokens])[0] for tokens in prompts]


def greedy(engine: Engine, prompt: Sequence[int], *, chunk: int, slot: int = 0, room: int = 64) -> list[int]:
    """Drive one slot by hand, the prompt in chunks; return the tokens of the answer."""
    fed, answer = 0, list[int]()
    feed: Sequence[int] = prompt[:chunk]
    while len(answer) < room:
        is_whole = fed + len(feed) >= len(prompt)
        (logits,) = engine.forward([Feed(slot, feed, fed, outputs=int(is_whole))])
        fed += len(feed)
        if not len(logits):
            feed = prompt[fed : fed + chunk]
            continue
        token = int(np.argmax(logits[0]))
        if token in engine.end_tokens:
            break
        answer.append(token)
        feed = [token]
    engine.truncate(slot, 0)
    return answer


def equal(these: Sequence[object], those: Sequence[object]) -> int:
    return sum(one == other for one, other in zip(these, those, strict=True))
