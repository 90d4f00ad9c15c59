"""Packs short conversations into rows of one fixed length, so that no step computes padding."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import torch

from demo_model import chat, chatter, tasks, words

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROWS, ROW_TOKENS = 16, 240
_MISSES = 6


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of whole conversations that do not see each other."""

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    """True where a token may look at another one of its own conversation."""


def _conversation(rng: Random, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    turns = 1 if words.often(rng, 0.85) else rng.randint(2, 5)
    system = chatter.system_text(rng) if words.often(rng, 0.15) else ""
    ids, labels = chat.encode(tokenizer, [tasks.training_example(rng) for _ in range(turns)], system)
    return (ids, labels) if len(ids) <= ROW_TOKENS else _conversation(rng, tokenizer)


def batch(seed: int, step: int, tokenizer: Tokenizer) -> Batch:
    """Draw the batch of one step; the same seed and step always give the same batch."""
    rng = Random(f"{seed}:{step}")
    ids = torch.zeros(ROWS, ROW_TOKENS, dtype=torch.long)
    labels = torch.full_like(ids, chat.IGNORED)
    positions = torch.zeros_like(ids)
    owners = torch.full_like(ids, -1)
    used, misses, owner = [0] * ROWS, 0, 0
    while misses < _MISSES:
        tokens, targets = _conversation(rng, tokenizer)
        row = next((r for r in range(ROWS) if used[r] + len(tokens) <= ROW_TOKENS), None)
        if row is None:
            misses += 1
            continue
        place = slice(used[row], used[row] + len(tokens))
        ids[row, place], labels[row, place] = torch.tensor(tokens), torch.tensor(targets)
        positions[row, place], owners[row, place] = torch.arange(len(tokens)), owner
        used[row], owner = place.stop, owner + 1
    same = owners[:, None, :, None] == owners[:, None, None, :]
    return Batch(ids, labels, positions, same & torch.ones(ROW_TOKENS, ROW_TOKENS, dtype=torch.bool).tril())
