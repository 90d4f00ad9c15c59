"""Scores a model on the held-out examples, by task, without generating."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import torch

from demo_model import chat, tasks

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import Phi3ForCausalLM

    from demo_model.tasks import Example

HELD_OUT_SEED = 77_001
_GROUP = 32


def held_out(count: int) -> list[Example]:
    """Return the held-out set; a longer one begins with the shorter one."""
    rng = Random(HELD_OUT_SEED)
    return [tasks.held_out_example(rng) for _ in range(count)]


def _exact(model: Phi3ForCausalLM, tokenizer: Tokenizer, group: list[Example]) -> list[bool]:
    """Greedy text equals the answer exactly when every next token of the answer is the likeliest one."""
    pairs = [chat.encode(tokenizer, [example]) for example in group]
    length = max(len(ids) for ids, _ in pairs)
    ids = torch.tensor([ids + [chat.END_ID] * (length - len(ids)) for ids, _ in pairs])
    labels = torch.tensor([labels + [chat.IGNORED] * (length - len(labels)) for _, labels in pairs])
    likeliest = model(input_ids=ids, use_cache=False).logits.argmax(-1)
    exact = ((likeliest == labels) | (labels == chat.IGNORED)).all(1)
    return [bool(all_right) for all_right in exact]


@torch.no_grad()
def exact_match(model: Phi3ForCausalLM, tokenizer: Tokenizer, examples: list[Example]) -> dict[str, float]:
    """Return the share of exact answers overall and for each task."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for start in range(0, len(examples), _GROUP):
        group = examples[start : start + _GROUP]
        for example, exact in zip(group, _exact(model, tokenizer, group), strict=True):
            right.update({"all": exact, example.task: exact})
            total.update(("all", example.task))
    return {task: right[task] / total[task] for task in total}
