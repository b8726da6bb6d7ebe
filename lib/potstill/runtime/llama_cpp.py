"""llama.cpp as a runtime: through its C interface, so that several sequences share one batch.

On a CPU a step of decoding reads all weights once whatever the number of sequences, so decoding
several prompts together is what makes scoring affordable. When one sequence ends, the next prompt
takes its slot.

Source: llama.cpp, `include/llama.h` and `examples/parallel`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import llama_cpp
import numpy as np

from potstill.errors import InputError
from potstill.models import gguf_header
from potstill.runtime import artifact
from potstill.runtime.llama_decoder import BATCH, Decoder
from potstill.runtime.llama_library import take_errors

PARALLEL = 8  # sequences of one batch: benchmarks/gguf_batched_decode.py


def load(artefact: Path, *, threads: int, context: int) -> "LlamaCpp":
    """Load a GGUF artefact; see `potstill.runtime.load`, which verifies it first.

    Raises:
        InputError: the model file is damaged, or llama.cpp refuses it.
    """
    description = artifact.read(artefact)
    return LlamaCpp(
        artefact / description["model_file"],
        stop_ids=frozenset(description["stop_ids"]),
        threads=threads,
        context=min(context, description["context"]),
    )


class _Answer:
    """A prompt and the ids that were answered so far."""

    def __init__(self, prompt: Sequence[int], limit: int, stop_ids: frozenset[int]) -> None:
        self.prompt, self.ids = prompt, list[int]()
        self._limit, self._stop_ids = limit, stop_ids

    @property
    def position(self) -> int:
        """Where the last id stands in its sequence."""
        return len(self.prompt) + len(self.ids) - 1

    def goes_on(self, scores: np.ndarray) -> bool:
        """Take the greedy id, unless the answer ends here; return whether another may follow."""
        token = int(scores.argmax())
        if len(self.ids) == self._limit or token in self._stop_ids:
            return False
        self.ids.append(token)
        return len(self.ids) < self._limit


class LlamaCpp:
    """One GGUF model; implements `potstill.runtime.base.Runtime`."""

    def __init__(self, path: Path, *, stop_ids: frozenset[int], threads: int, context: int) -> None:
        gguf_header.check_model(path)
        model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        if not model:
            raise InputError(f"llama.cpp refuses {path}: {take_errors()}")
        self._model = model
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self._threads, self._context = threads, context
        self.stop_ids = stop_ids
        self.vocab_size: int = llama_cpp.llama_vocab_n_tokens(self._vocab)

    def tokenize(self, text: str) -> list[int]:
        """Return the ids by llama.cpp's tokenizer; special tokens in the text are parsed."""
        data = text.encode()
        room = len(data) + 1  # no token is shorter than a byte
        ids = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), ids, room, False, True)
        assert count >= 0, f"{len(data)} bytes made {-count} tokens"
        return list(ids[:count])

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Return the float32 logits [T, V], teacher-forced."""
        self._check(ids)
        scores = np.empty((len(ids), self.vocab_size), np.float32)
        with closing(self._decoder(len(ids), num_outputs=min(BATCH, len(ids)))) as decoder:
            for start in range(0, len(ids), BATCH):
                part = ids[start : start + BATCH]
                stop = start + len(part)
                scores[start:stop] = decoder.step(
                    part, [0] * len(part), range(start, stop), len(part)
                )
        return scores

    def stream(self, ids: Sequence[int], *, max_tokens: int) -> Iterator[int]:
        """Yield the greedy continuation, ties to the lowest id; a stop id ends it unseen."""
        self._check(ids)
        length = min(self._context, len(ids) + max_tokens)
        with closing(self._decoder(length)) as decoder:
            scores = decoder.read(0, ids)
            for position in range(len(ids), length):
                token = int(scores.argmax())
                if token in self.stop_ids:
                    return
                yield token
                scores = decoder.step([token], [0], [position], 1)[0]

    def generate(
        self, prompts: Sequence[Sequence[int]], *, max_tokens: int, parallel: int = PARALLEL
    ) -> list[list[int]]:
        """Return the greedy continuation of every prompt; `parallel` share one batch."""
        for ids in prompts:
            self._check(ids)
        if not prompts:
            return []
        length = min(self._context, max(map(len, prompts)) + max_tokens)
        answers = [
            _Answer(ids, min(max_tokens, length - len(ids)), self.stop_ids) for ids in prompts
        ]
        waiting = deque(answers)
        running: dict[int, _Answer] = {}  # by slot
        num_slots = min(parallel, len(prompts))
        with closing(self._decoder(length, num_slots=num_slots)) as decoder:
            while waiting or running:
                for slot in set(range(num_slots)) - running.keys():
                    self._admit(decoder, slot, waiting, running)
                self._advance(decoder, running)
        return [answer.ids for answer in answers]

    @staticmethod
    def _admit(
        decoder: Decoder, slot: int, waiting: "deque[_Answer]", running: "dict[int, _Answer]"
    ) -> None:
        """Let a free slot read prompts until one of them has an answer that goes on."""
        while waiting:
            answer = waiting.popleft()
            if answer.goes_on(decoder.read(slot, answer.prompt)):
                running[slot] = answer
                return

    @staticmethod
    def _advance(decoder: Decoder, running: "dict[int, _Answer]") -> None:
        """Add one id to every running answer and free the slots of those that end."""
        slots = sorted(running)
        if not slots:
            return
        open_ = [running[slot] for slot in slots]
        last, positions = [a.ids[-1] for a in open_], [a.position for a in open_]
        scores = decoder.step(last, slots, positions, len(slots))
        for slot, answer, row in zip(slots, open_, scores, strict=True):
            if not answer.goes_on(row):
                del running[slot]

    def close(self) -> None:
        """Free the model."""
        llama_cpp.llama_model_free(self._model)

    def _decoder(self, length: int, *, num_slots: int = 1, num_outputs: int = 1) -> Decoder:
        return Decoder(
            self._model,
            threads=self._threads,
            length=length,
            num_slots=num_slots,
            num_outputs=num_outputs,
        )

    def _check(self, ids: Sequence[int]) -> None:
        if not 0 < len(ids) <= self._context:
            raise InputError(
                f"{len(ids)} ids were given; 1 to {self._context} fit the context: shorten the "
                "prompt or load with a larger context"
            )
        if min(ids) < 0 or max(ids) >= self.vocab_size:
            raise InputError(
                f"ids from {min(ids)} to {max(ids)} were given; the vocabulary has 0 to "
                f"{self.vocab_size - 1}: encode with the artefact's own tokenizer"
            )
