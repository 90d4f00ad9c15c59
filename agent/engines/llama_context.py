"""One llama.cpp context: a KV cache that its sequences share, and the batch that is decoded against it.

A KV cell may belong to several sequences at once (`llama_memory_seq_cp` in llama.h): a prompt beginning that
is kept, and every slot that uses it, share the same cells, and nothing is copied.
"""

from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from agent.engines.contract import Feed, Logits
from agent.engines.llama_log import LOG
from agent.wire.errors import EngineError

STEP_TOKENS = 2048
"""The most tokens one call of `llama_decode` takes; the library splits them into passes of `PASS_TOKENS`."""
PASS_TOKENS = 512
WHOLE = -1
"""As a position: from the beginning, or to the end."""


class LlamaContext:
    """A KV cache for `slots` sequences and, beside them, kept segments."""

    def __init__(self, model: Any, *, slots: int, segments: int, tokens: int, threads: int) -> None:  # noqa: ANN401 -- a C pointer
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = tokens
        parameters.n_batch, parameters.n_ubatch = STEP_TOKENS, PASS_TOKENS
        parameters.n_seq_max = slots + segments
        parameters.kv_unified = True
        parameters.n_threads = parameters.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(model, parameters)
        if not self._context:
            raise EngineError(f"llama.cpp cannot open a context of {tokens} tokens: {LOG.last_error}")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(STEP_TOKENS, 0, 1)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._spans: dict[int, tuple[int, int]] = {}
        self._unused = list(range(slots, slots + segments))

    def decode(self, feeds: Sequence[Feed]) -> list[Logits]:
        """Compute all feeds with one `llama_decode`."""
        rows = self._fill(feeds)
        code = llama_cpp.llama_decode(self._context, self._batch)
        if code != 0:
            raise EngineError(f"llama_decode returned {code}: {LOG.last_error or 'no reason given'}")
        return [self._logits(row, feed.outputs) for row, feed in zip(rows, feeds, strict=True)]

    def truncate(self, sequence: int, length: int) -> None:
        """Let a sequence end at `length`."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, length, WHOLE)

    def keep(self, slot: int, start: int, stop: int) -> int:
        """Make a new segment a member of the slot's cells."""
        segment = self._unused.pop()
        self._spans[segment] = (start, stop)
        llama_cpp.llama_memory_seq_cp(self._memory, slot, segment, start, stop)
        return segment

    def restore(self, segment: int, slot: int) -> None:
        """Make the slot a member of the segment's cells."""
        llama_cpp.llama_memory_seq_cp(self._memory, segment, slot, *self._spans[segment])

    def split(self, segment: int, at: int) -> int:
        """Move the later cells of a segment to a new one."""
        start, stop = self._spans[segment]
        later = self.keep(segment, at, stop)
        llama_cpp.llama_memory_seq_rm(self._memory, segment, at, stop)
        self._spans[segment] = (start, at)
        return later

    def drop(self, segment: int) -> None:
        """End the segment's membership; cells that nobody else uses are free."""
        llama_cpp.llama_memory_seq_rm(self._memory, segment, WHOLE, WHOLE)
        del self._spans[segment]
        self._unused.append(segment)

    def close(self) -> None:
        """Free batch and context."""
        if self._context:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._context)
            self._context = None

    def _fill(self, feeds: Sequence[Feed]) -> list[int]:
        """Write the feeds into the batch; return the batch row of each feed's first output."""
        batch, row, rows = self._batch, 0, list[int]()
        for feed in feeds:
            for position, token in enumerate(feed.tokens, feed.start):
                batch.token[row], batch.pos[row] = token, position
                batch.n_seq_id[row], batch.seq_id[row][0] = 1, feed.slot
                batch.logits[row] = position >= feed.start + len(feed.tokens) - feed.outputs
                row += 1
            rows.append(row - feed.outputs)
        batch.n_tokens = row
        return rows

    def _logits(self, first_row: int, outputs: int) -> Logits:
        if not outputs:
            return np.empty((0, self._vocabulary), dtype=np.float32)
        rows = [
            np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self._context, row), (self._vocabulary,))
            for row in range(first_row, first_row + outputs)
        ]
        return rows[0][None] if outputs == 1 else np.stack(rows)
