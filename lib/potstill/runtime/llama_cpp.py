"""llama.cpp as a runtime: through its C interface, so that several sequences share one batch.

On a CPU a step of decoding reads all weights once whatever the number of sequences, so decoding
several prompts together is what makes scoring affordable. When one sequence ends, the next prompt
takes its slot.

Source: llama.cpp, `include/llama.h` and `examples/parallel`.
"""

import ctypes
import functools
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from potstill.errors import InputError
from potstill.models import gguf_header
from potstill.runtime import artifact, llama_cache, prefixes
from potstill.runtime.base import Capabilities, Done
from potstill.runtime.constraint import Constraints
from potstill.runtime.llama_decoder import BATCH, Decoder
from potstill.runtime.llama_library import llama_cpp, take_errors
from potstill.runtime.pieces import Pieces
from potstill.runtime.prefixes import Prompt
from potstill.runtime.request import Answer, Chunk, Request
from potstill.runtime.writer import Writer

PARALLEL = 16  # sequences of one batch: benchmarks/gguf_batched_decode.py
CACHE_BYTES = 1 << 30  # of them together; with a larger model fewer share a batch
CAPABILITIES = Capabilities(
    batches=True,
    prefixes=True,
    logits=True,
    logprobs=True,
    sampling=True,
    stops=True,
    constraint=True,
)


def load(artefact: Path, *, threads: int, context: int) -> "LlamaCpp":
    """Load a GGUF artefact; see `potstill.runtime.load`, which verifies it first.

    Raises:
        InputError: the model file is damaged, llama.cpp refuses it, or it cannot have the cache
            that artifact.json states.
    """
    description = artifact.read(artefact)
    return LlamaCpp(
        artefact / description["model_file"],
        stop_ids=frozenset(description["stop_ids"]),
        threads=threads,
        context=min(context, description["context"]),
        cache=description.get("cache", llama_cache.DEFAULT),
    )


def end_ids(path: Path) -> frozenset[int]:
    """Return the ids that llama.cpp takes for the end of an answer; the whole model is loaded.

    Raises:
        InputError: the file is damaged, or llama.cpp refuses it.
    """
    model = LlamaCpp(path, stop_ids=frozenset(), threads=1, context=1)
    with closing(model):
        return frozenset(model.ends())


class LlamaCpp:
    """One GGUF model; implements `potstill.runtime.base.Runtime`.

    A constraint needs the tokenizer.json that stands beside the model in an artefact.
    """

    def __init__(
        self,
        path: Path,
        *,
        stop_ids: frozenset[int],
        threads: int,
        context: int,
        cache: str = llama_cache.DEFAULT,
    ) -> None:
        header = gguf_header.check_model(path)
        llama_cache.check(cache, header)
        self._cache, self._bytes_per_id = cache, llama_cache.bytes_per_id(cache, header)
        model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        if not model:
            raise InputError(f"llama.cpp refuses {path}: {take_errors()}")
        self._model = model
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self._threads, self._context = threads, context
        one_state = llama_cpp.llama_model_is_recurrent(model)
        one_state = one_state or llama_cpp.llama_model_is_hybrid(model)
        self.capabilities = replace(CAPABILITIES, prefixes=not one_state)
        self.stop_ids = stop_ids
        self.vocab_size: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        space = llama_cpp.llama_vocab_type(self._vocab) == llama_cpp.LLAMA_VOCAB_TYPE_SPM
        self._pieces = Pieces(of=functools.cache(self._piece), drops_space=space)
        self._constraints = Constraints(path.parent / "tokenizer.json", self.vocab_size, stop_ids)

    def tokenize(self, text: str) -> list[int]:
        """Return the ids by llama.cpp's tokenizer; special tokens in the text are parsed."""
        data = text.encode()
        room = len(data) + 1  # no token is shorter than a byte
        ids = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), ids, room, False, True)
        assert count >= 0, f"{len(data)} bytes made {-count} tokens"
        return list(ids[:count])

    def ends(self) -> list[int]:
        """Return the ids that llama.cpp takes for the end of an answer."""
        is_end = llama_cpp.llama_vocab_is_eog
        return [index for index in range(self.vocab_size) if is_end(self._vocab, index)]

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

    def stream(self, request: Request) -> Iterator[Chunk]:
        """Yield an answer as it is made; see `potstill.runtime.base`."""
        writer = self._writer(request)
        if writer.ended:
            yield from writer.chunks
            return
        with closing(self._decoder(self._length([request]))) as decoder:
            scores = decoder.read(0, tuple(request.prompt))
            yield writer.take(scores)
            while not writer.ended:
                scores = decoder.step([writer.ids[-1]], [0], [writer.position], 1)[0]
                yield writer.take(scores)

    def generate(
        self, requests: Sequence[Request], *, done: Done | None = None, parallel: int = PARALLEL
    ) -> list[Answer]:
        """Return the answers in order; at most `parallel` of them share one batch."""
        writers = [self._writer(request) for request in requests]
        places = {writer: place for place, writer in enumerate(writers)}

        def tell(ended: list[Writer]) -> None:
            if done is not None:
                for writer in ended:
                    done(places[writer], writer.answer())

        tell([writer for writer in writers if writer.ended])
        waiting = deque(writer for writer in writers if not writer.ended)
        running: dict[int, Writer] = {}  # by slot
        if waiting:
            length = self._length([writer.request for writer in waiting])
            cuts = prefixes.cuts([tuple(writer.request.prompt) for writer in waiting])
            fitting = CACHE_BYTES // max(1, self._bytes_per_id * length)
            num_slots = min(parallel, len(waiting), max(1, fitting))
            with closing(self._decoder(length, num_slots=num_slots)) as decoder:
                while waiting or running:
                    for slot in set(range(num_slots)) - running.keys():
                        tell(self._admit(decoder, slot, waiting, running, cuts))
                    tell(self._advance(decoder, running))
        return [writer.answer() for writer in writers]

    @staticmethod
    def _admit(
        decoder: Decoder,
        slot: int,
        waiting: "deque[Writer]",
        running: "dict[int, Writer]",
        cuts: dict[Prompt, Prompt],
    ) -> list[Writer]:
        """Let a free slot read prompts until an answer goes on; return the writers that ended."""
        ended = []
        while waiting:
            writer = waiting.popleft()
            prompt = tuple(writer.request.prompt)
            writer.take(decoder.read(slot, prompt, cuts[prompt]))
            if not writer.ended:
                running[slot] = writer
                break
            ended.append(writer)
        return ended

    @staticmethod
    def _advance(decoder: Decoder, running: "dict[int, Writer]") -> list[Writer]:
        """Add one id to every running answer; free the slots of those that end, and return them."""
        slots = sorted(running)
        if not slots:
            return []
        open_ = [running[slot] for slot in slots]
        last, positions = [w.ids[-1] for w in open_], [w.position for w in open_]
        scores = decoder.step(last, slots, positions, len(slots))
        for slot, writer, row in zip(slots, open_, scores, strict=True):
            writer.take(row)
            if writer.ended:
                del running[slot]
        return [writer for writer in open_ if writer.ended]

    def close(self) -> None:
        """Free the model."""
        llama_cpp.llama_model_free(self._model)

    def _writer(self, request: Request) -> Writer:
        self._check(request.prompt)
        return Writer(
            request,
            room=self._context - len(request.prompt),
            stop_ids=self.stop_ids,
            pieces=self._pieces,
            mask=self._constraints.mask(request.constraint),
        )

    def _piece(self, token: int) -> bytes:
        """Return the bytes of an id; none for a special token."""
        room = 64
        while True:
            data = ctypes.create_string_buffer(room)
            size = llama_cpp.llama_token_to_piece(self._vocab, token, data, room, 0, False)
            if size >= 0:
                return data.raw[:size]
            room = -size

    def _length(self, requests: Sequence[Request]) -> int:
        """Return how many ids the longest of the requests may have, prompt and answer together."""
        return min(self._context, max(len(r.prompt) + r.max_tokens for r in requests))

    def _decoder(self, length: int, *, num_slots: int = 1, num_outputs: int = 1) -> Decoder:
        return Decoder(
            self._model,
            threads=self._threads,
            length=length,
            num_slots=num_slots,
            num_outputs=num_outputs,
            shares=self.capabilities.prefixes,
            cache=self._cache,
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
