"""A llama.cpp context: one stream of KV cells for every slot, and the batch that is decoded against them.

Attention on the CPU passes by every cell of a stream that is in use. In one stream for all (`kv_unified`) a
row would pass by the cells of all slots and of all that is kept; a stream for each slot holds its own only
(docs/decisions/0006).
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from agent.engines.contract import Feed, Logits
from agent.engines.llama_log import LOG
from agent.wire.errors import EngineError

STEP_TOKENS = 2048
"""The most tokens one call of `llama_decode` takes; the library splits them into passes of `PASS_TOKENS`."""
PASS_TOKENS, PASS_TOKENS_ON_CPU = 512, 128
"""Without flash attention a pass holds a score for each of its tokens, each head and each cell of a slot."""
TO_THE_END = -1

State = NDArray[np.uint8]
"""Keys and values of one slot, in the library's own format."""


class LlamaContext:
    """The KV cache of all slots."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401 -- a C pointer
        *,
        slots: int,
        context_length: int,
        threads: int,
        is_on_cpu: bool,
    ) -> None:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = context_length * slots
        parameters.n_batch = STEP_TOKENS
        parameters.n_ubatch = PASS_TOKENS_ON_CPU if is_on_cpu else PASS_TOKENS
        if is_on_cpu:  # the CPU's kernel of flash attention takes twice as long to decode at a depth of 512
            parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.n_seq_max = slots
        parameters.kv_unified = False
        parameters.n_threads = parameters.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(model, parameters)
        if not self._context:
            raise EngineError(
                f"llama.cpp cannot open {slots} slots of {context_length} tokens: {LOG.last_error}"
            )
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(STEP_TOKENS, 0, 1)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))

    def decode(self, feeds: Sequence[Feed]) -> list[Logits]:
        """Compute all feeds with one `llama_decode`; the logits are copies."""
        rows = self._fill(feeds)
        code = llama_cpp.llama_decode(self._context, self._batch)
        if code != 0:
            raise EngineError(f"llama_decode returned {code}: {LOG.last_error or 'no reason given'}")
        return [self._logits(row, feed.outputs) for row, feed in zip(rows, feeds, strict=True)]

    def truncate(self, slot: int, length: int) -> None:
        """Let a slot end at `length`."""
        llama_cpp.llama_memory_seq_rm(self._memory, slot, length, TO_THE_END)

    def state(self, slot: int) -> State:
        """Return a copy of what a slot holds."""
        state = np.empty(llama_cpp.llama_state_seq_get_size(self._context, slot), dtype=np.uint8)
        llama_cpp.llama_state_seq_get_data(self._context, _pointer(state), state.size, slot)
        return state

    def set_state(self, slot: int, state: State) -> None:
        """Let a slot hold what was copied from another one before."""
        if not llama_cpp.llama_state_seq_set_data(self._context, _pointer(state), state.size, slot):
            raise EngineError(f"llama.cpp cannot take over a kept prompt beginning: {LOG.last_error}")

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
        logits = np.empty((outputs, self._vocabulary), dtype=np.float32)
        for row in range(outputs):
            pointer = llama_cpp.llama_get_logits_ith(self._context, first_row + row)
            logits[row] = np.ctypeslib.as_array(pointer, (self._vocabulary,))
        return logits


def _pointer(state: State) -> Any:  # noqa: ANN401 -- a C pointer
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
