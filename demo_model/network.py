"""The untrained network, and how its learning rate moves over a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from transformers import Phi3Config, Phi3ForCausalLM

from demo_model import chat

if TYPE_CHECKING:
    from torch import nn

LEARNING_RATE = 2e-3
_WARM_UP_STEPS = 200


def new_model(seed: int) -> Phi3ForCausalLM:
    """Build the untrained network; every dimension is a multiple of the quantisation block."""
    torch.manual_seed(seed)
    return Phi3ForCausalLM(
        Phi3Config(
            vocab_size=chat.VOCABULARY,
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            original_max_position_embeddings=2048,
            bos_token_id=chat.BOS_ID,
            eos_token_id=chat.END_ID,
            pad_token_id=chat.BOS_ID,
            tie_word_embeddings=False,
            sliding_window=None,
        )
    )


def optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Give the inner matrices to Muon and the rest to AdamW."""
    named = list(model.named_parameters())
    inner = [p for name, p in named if name.endswith("proj.weight")]
    outer = [p for name, p in named if not name.endswith("proj.weight")]
    return [
        torch.optim.Muon(inner, lr=LEARNING_RATE, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(outer, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.02),
    ]


def rate(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: a short warm-up, then a cosine to 2 %."""
    warm_up = min(1.0, (step + 1) / _WARM_UP_STEPS)
    return warm_up * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
