"""What is asked: the workloads of the table in docs/benchmarks.md."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.answer import Question
from benchmarks.goals import (
    BRIDGE,
    ENGINE,
    GENERATOR,
    LLAMA_SERVER,
    LLAMA_SERVER_UNIFIED,
    PYTHON_SERVER,
    Goal,
)
from benchmarks.models import Format, ModelName
from benchmarks.prompts import words_text
from benchmarks.records import demo_questions, random_questions

Draw = Callable[[random.Random, int], list[Question]]
"""Draws so many questions; every round has its own."""
Metric = Literal["tokens_per_s", "answers_per_s", "first_p95_s"]


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table, or one for each format."""

    name: str
    title: str
    model: ModelName
    draw: Draw
    requests: int
    at_once: int
    rounds: int
    goals: dict[Format, tuple[Goal, ...]]
    metric: Metric = "tokens_per_s"
    quick_requests: int = 8
    context_tokens: int = 1024
    """For each slot."""
    load: float = 0.0
    """Above 0: requests arrive by chance, at this share of what the peer sustains."""


def _own(prompt_tokens: int, answer_tokens: int) -> Draw:
    """Draw prompts without a shared beginning."""
    return lambda rng, count: [Question(words_text(rng, prompt_tokens), answer_tokens) for _ in range(count)]


def _shared(shared_tokens: int, own_tokens: int, answer_tokens: int, beginnings: int = 1) -> Draw:
    """Draw prompts that begin with one of so many texts, which take turns."""

    def draw(rng: random.Random, count: int) -> list[Question]:
        begin = [words_text(rng, shared_tokens) for _ in range(beginnings)]
        texts = [f"{begin[number % beginnings]}{words_text(rng, own_tokens)}" for number in range(count)]
        return [Question(text, answer_tokens) for text in texts]

    return draw


def _one_stream(model: ModelName, *, rounds: int, context_tokens: int, name: str) -> Workload:
    against_gguf: tuple[Goal, ...] = (Goal(LLAMA_SERVER, 0.98), Goal(BRIDGE))
    if model != "phi3-mini":
        against_gguf = (*against_gguf, Goal(PYTHON_SERVER))
    against_onnx = (Goal(GENERATOR, 1.0), Goal(ENGINE))
    return Workload(
        name=name,
        title="one stream, 128 + 64 tokens",
        model=model,
        draw=_own(128, 64),
        requests=1,
        at_once=1,
        rounds=rounds,
        goals={"gguf": against_gguf, "onnx": against_onnx},
        quick_requests=1,
        context_tokens=context_tokens,
    )


def _eight(model: ModelName, *, requests: int, rounds: int, context_tokens: int, name: str) -> Workload:
    against_gguf: tuple[Goal, ...] = (Goal(LLAMA_SERVER, 1.05), Goal(BRIDGE, 1.6))
    against_onnx: tuple[Goal, ...] = (Goal(GENERATOR, 1.6),)
    if model != "phi3-mini":  # it takes minutes a round
        against_gguf = (*against_gguf, Goal(LLAMA_SERVER_UNIFIED, 1.05), Goal(PYTHON_SERVER))
        against_onnx = (*against_onnx, Goal(ENGINE, 3.0))
    return Workload(
        name=name,
        title="8 at once, 128 + 64 tokens, no shared beginning",
        model=model,
        draw=_own(128, 64),
        requests=requests,
        at_once=8,
        rounds=rounds,
        goals={"gguf": against_gguf, "onnx": against_onnx},
        context_tokens=context_tokens,
    )


def _beginning(answer_tokens: int, name: str) -> Workload:
    return Workload(
        name=name,
        title=f"24 requests, 8 at once, 224 of 256 prompt tokens shared, cold, {answer_tokens} answer tokens",
        model="360m",
        draw=_shared(224, 32, answer_tokens),
        requests=24,
        at_once=8,
        rounds=3,
        goals={"gguf": (Goal(LLAMA_SERVER, 2.0), Goal(LLAMA_SERVER_UNIFIED, 2.0))},
        quick_requests=24,
    )


WORKLOADS = (
    _one_stream("360m", rounds=9, context_tokens=1024, name="one-stream"),
    _eight("360m", requests=16, rounds=4, context_tokens=1024, name="eight"),
    _beginning(16, "shared"),
    _beginning(64, "shared-long"),
    Workload(
        name="ten-prompts",
        title="10 system prompts of 500 tokens taking turns, 8 at once, 200 requests, 24 + 16 tokens each",
        model="360m",
        draw=_shared(500, 24, 16, beginnings=10),
        requests=200,
        at_once=8,
        rounds=1,
        goals={"gguf": (Goal(LLAMA_SERVER, 2.0),)},
        quick_requests=40,
    ),
    Workload(
        name="arrivals",
        title="arrivals of a Poisson process at 70 % load, 128 + 64 tokens: p95 time to first token",
        model="360m",
        draw=_own(128, 64),
        requests=48,
        at_once=8,
        rounds=2,
        goals={"gguf": (Goal(LLAMA_SERVER, 0.7),)},
        metric="first_p95_s",
        quick_requests=16,
        load=0.7,
    ),
    Workload(
        name="json-demo",
        title="JSON extraction under a schema, 8 at once, demo model: answers/s",
        model="demo",
        draw=demo_questions,
        requests=64,
        at_once=8,
        rounds=4,
        goals={"gguf": (Goal(LLAMA_SERVER, 1.5),)},
        metric="answers_per_s",
        quick_requests=32,
    ),
    Workload(
        name="json",
        title="JSON extraction under a schema, 8 at once: answers/s",
        model="360m",
        draw=random_questions,
        requests=24,
        at_once=8,
        rounds=4,
        goals={"gguf": (Goal(LLAMA_SERVER, 1.5),)},
        metric="answers_per_s",
    ),
    _one_stream("phi3-mini", rounds=2, context_tokens=256, name="phi3-one-stream"),
    _eight("phi3-mini", requests=8, rounds=1, context_tokens=256, name="phi3-eight"),
)
