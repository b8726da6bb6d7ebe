"""One llama.cpp context: ids of several sequences in, logits out.

Every sequence has its own slot with its own part of the cache, so a slot can be emptied and given
to another sequence while the rest go on.
"""

import ctypes
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from potstill.runtime import llama_cache
from potstill.runtime.llama_library import llama_cpp, take_errors
from potstill.runtime.prefixes import Prompt, common

BATCH = 512  # most ids of one call of llama_decode
CACHE_GRAIN = 256  # llama.cpp rounds the length of a slot up to a multiple of this


class Decoder:
    """A context with `num_slots` slots of `length` ids each.

    Args:
        model: a loaded llama.cpp model, which must outlive the decoder.
        threads: threads for prompts and for single steps alike.
        length: most ids of one sequence.
        num_slots: most sequences at a time.
        num_outputs: most ids of one step whose logits are wanted.
        shares: slots take from each other what they have in common; not with a model whose memory
            is one state, which cannot be cut off behind some ids.
        cache: what keys and values are kept in, a name in `llama_cache.TYPES`.

    Attributes:
        num_read: ids of prompts that were computed, not taken from a cache.
    """

    def __init__(
        self,
        model: llama_cpp.llama_model_p,
        *,
        threads: int,
        length: int,
        num_slots: int = 1,
        num_outputs: int = 1,
        shares: bool = True,
        cache: str = llama_cache.DEFAULT,
    ) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = -(-length // CACHE_GRAIN) * CACHE_GRAIN * num_slots
        params.n_seq_max = num_slots
        params.n_batch = params.n_ubatch = BATCH
        params.n_outputs_max = max(num_outputs, num_slots)
        params.n_outputs_max_per_seq = num_outputs
        # llama.cpp turns flash attention on for values in blocks, which it cannot read otherwise.
        params.type_k = params.type_v = llama_cache.TYPES[cache].value
        params.n_threads = params.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(model, params)
        if not self._context:
            raise MemoryError(f"llama.cpp makes no context: {take_errors()}")
        vocab = llama_cpp.llama_model_get_vocab(model)
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(vocab)
        self._batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self._prompts: dict[int, Prompt] = {}  # by slot
        self._scores: dict[int, np.ndarray] = {}  # the logits behind them
        self._shares = shares
        self.num_read = 0

    def close(self) -> None:
        """Free the context."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._context)

    def read(self, slot: int, ids: Prompt, cuts: Prompt = ()) -> np.ndarray:
        """Let a slot read a prompt and return the last logits [V].

        The prompt is computed in the parts between its `prefixes.cuts`. Those that a slot has
        computed, this one or another, are taken from it, and so is the same prompt as a whole.
        All prompts that a decoder reads must get their cuts from one call, or none.
        """
        holder, known = self._holder(slot, ids, cuts)
        memory = llama_cpp.llama_get_memory(self._context)
        if holder != slot:
            # Slots have streams of their own: the whole stream is copied, with the next decoding.
            llama_cpp.llama_memory_seq_cp(memory, holder, slot, -1, -1)
        llama_cpp.llama_memory_seq_rm(memory, slot, known, -1)
        self._scores[slot] = self._scores.get(holder, np.empty(0))
        self._prompts[slot] = ids
        ends = [*(cut for cut in cuts if cut > known), len(ids)] if known < len(ids) else []
        for start, end in pairwise([known, *ends]):
            self._scores[slot] = self._read_part(slot, ids, start, end)
        return self._scores[slot]

    def _holder(self, slot: int, ids: Prompt, cuts: Prompt) -> tuple[int, int]:
        """Return which slot holds most of a prompt, this one if it holds as much, and how much."""
        holder, known = slot, 0
        for other, held in self._prompts.items() if self._shares else ():
            shared = common(ids, held)
            if not shared == len(ids) == len(held):  # the same prompt, with its logits
                shared = max((cut for cut in cuts if cut <= shared), default=0)
            if (shared, other == slot) > (known, holder == slot):
                holder, known = other, shared
        return holder, known

    def _read_part(self, slot: int, ids: Prompt, start: int, end: int) -> np.ndarray:
        """Compute a part of a prompt, behind what the slot has, and return the last logits [V]."""
        for place in range(start, end, BATCH):
            part = ids[place : min(place + BATCH, end)]
            self.num_read += len(part)
            scores = self.step(part, [slot] * len(part), range(place, place + len(part)), 1)
        return scores[0].copy()

    def step(
        self, ids: Sequence[int], slots: Sequence[int], positions: Sequence[int], num_outputs: int
    ) -> np.ndarray:
        """Decode ids in one batch and return the logits of the last `num_outputs` of them.

        Returns:
            float32 [num_outputs, V], a view that the next call overwrites.
        """
        batch, count = self._batch, len(ids)
        batch.n_tokens = count
        for index, (token, slot, position) in enumerate(zip(ids, slots, positions, strict=True)):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = slot
            batch.logits[index] = index >= count - num_outputs
        code = llama_cpp.llama_decode(self._context, batch)
        if code:
            raise RuntimeError(f"llama_decode returned {code}: {take_errors()}")
        scores = llama_cpp.llama_get_logits(self._context)
        flat = ctypes.cast(scores, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(flat, shape=(num_outputs, self._vocab_size))
