"""The number grids of the shipped files: rounds weights so that every file can hold them exactly."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

BLOCK = 32
_INT4_LOW, _INT4_HIGH = -8, 7
_INT8_HIGH = 127


def int4_codes(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes from -8 to 7 and one float16 scale for each block of 32 weights of a row."""
    blocks = weight.detach().float().reshape(-1, BLOCK)
    largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scale = (largest / _INT4_LOW).half().float()
    inverse = torch.where(scale == 0, 0.0, 1.0 / scale)
    return (blocks * inverse).round().clamp(_INT4_LOW, _INT4_HIGH), scale


def int8_codes(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes from -127 to 127 and one float16 scale for each block of 32 weights of a row."""
    blocks = weight.detach().float().reshape(-1, BLOCK)
    scale = (blocks.abs().amax(1, keepdim=True) / _INT8_HIGH).half().float()
    inverse = torch.where(scale == 0, 0.0, 1.0 / scale)
    return (blocks * inverse).round().clamp(-_INT8_HIGH, _INT8_HIGH), scale


def is_embedding(name: str) -> bool:
    """Say whether the tensor is the embedding: it keeps eight bits, as every format lets it."""
    return "embed_tokens" in name


def snapped(name: str, weight: torch.Tensor) -> torch.Tensor:
    """Return the nearest weights on the grid of the parameter; vectors are left alone."""
    if weight.ndim == 1:
        return weight.detach().clone()
    codes, scale = int8_codes(weight) if is_embedding(name) else int4_codes(weight)
    return (codes * scale).reshape(weight.shape)


@contextmanager
def rounded(model: nn.Module) -> Iterator[None]:
    """Let the model compute with snapped weights; gradients of the block reach the true weights."""
    true = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(snapped(name, parameter))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(true[name])
