"""The sizes of a Phi-3: speed depends on them, not on the values of the weights."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model file is written from."""

    name: str
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context_tokens: int = 4096

    @property
    def head_dim(self) -> int:
        """Numbers in one head."""
        return self.hidden // self.heads

    @property
    def qkv_rows(self) -> int:
        """Rows of the fused matrix of queries, keys and values."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def weight_scale(self) -> float:
        """Scale of every block of 32 weights: keeps activations of any width near 1."""
        return float(0.01 / (self.hidden / 256) ** 0.5)


EMBEDDING_SCALE = 0.5
ATTENTION_SCALE = 4.0
"""Queries, keys and values are this much larger than other products: attention looks at few tokens, and the
next token hangs on the whole text before it. Else answers would run in circles, and flatter whoever drafts
tokens by looking them up."""

SMALL = Shape("random-360m", 1024, 2816, 24, 16, 16, 25_600)
"""360 million weights."""
PHI3_MINI = Shape("random-phi3-mini", 3072, 8192, 32, 32, 32, 32_064)
"""3.8 billion weights."""

SILENCED = range(5)
"""Control tokens. Their output rows are zero: no random model ends an answer before its last token."""
