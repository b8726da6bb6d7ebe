"""One llama.cpp context: ids of several sequences in, logits out.

Every sequence has its own slot with its own part of the cache, so a slot can be emptied and given
to another sequence while the rest go on.
"""

import ctypes
from collections.abc import Sequence

import numpy as np

from potstill.runtime.llama_library import llama_cpp, take_errors

BATCH = 512  # most ids of one call of llama_decode
# Another slot's cache is copied if it saves this many ids. llama.cpp reads more than 64 ids at once
# by another kernel, whose logits differ, so where a prompt is cut may decide a near tie: a short
# beginning is not worth that, and not the some ms of a copy either.
COPY_GAIN = 64
CACHE_GRAIN = 256  # llama.cpp rounds the length of a slot up to a multiple of this


class Decoder:
    """A context with `num_slots` slots of `length` ids each.

    Args:
        model: a loaded llama.cpp model, which must outlive the decoder.
        threads: threads for prompts and for single steps alike.
        length: most ids of one sequence.
        num_slots: most sequences at a time.
        num_outputs: most ids of one step whose logits are wanted.

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
    ) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = -(-length // CACHE_GRAIN) * CACHE_GRAIN * num_slots
        params.n_seq_max = num_slots
        params.n_batch = params.n_ubatch = BATCH
        params.n_outputs_max = max(num_outputs, num_slots)
        params.n_outputs_max_per_seq = num_outputs
        params.n_threads = params.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(model, params)
        if not self._context:
            raise MemoryError(f"llama.cpp makes no context: {take_errors()}")
        vocab = llama_cpp.llama_model_get_vocab(model)
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(vocab)
        self._batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self._prompts: dict[int, Sequence[int]] = {}  # by slot
        self.num_read = 0

    def close(self) -> None:
        """Free the context."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._context)

    def read(self, slot: int, ids: Sequence[int]) -> np.ndarray:
        """Let a slot read a prompt and return the last logits [V].

        What the prompt shares with the slot's previous one is kept; where another slot's prompt
        shares clearly more, such as the system's message, that slot's cache is copied. The last id
        is always read, for its logits.
        """
        shared = {other: _common(ids[:-1], held) for other, held in self._prompts.items()}
        known, memory = shared.get(slot, 0), llama_cpp.llama_get_memory(self._context)
        best = max(shared, key=shared.__getitem__, default=slot)
        if shared.get(best, 0) >= known + COPY_GAIN:
            # Slots have streams of their own: the whole stream is copied, with the next decoding.
            llama_cpp.llama_memory_seq_cp(memory, best, slot, -1, -1)
            known = shared[best]
        self._prompts[slot] = ids
        llama_cpp.llama_memory_seq_rm(memory, slot, known, -1)
        for start in range(known, len(ids), BATCH):
            part = ids[start : start + BATCH]
            self.num_read += len(part)
            scores = self.step(part, [slot] * len(part), range(start, start + len(part)), 1)
        return scores[0]

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


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many ids at the beginning are the same."""
    pairs = zip(left, right, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
