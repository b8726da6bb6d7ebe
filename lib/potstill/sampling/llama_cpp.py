"""The teacher on this machine through llama.cpp, several times faster than `generate` on a CPU."""

import tempfile
from collections.abc import Sequence
from contextlib import closing
from importlib import metadata
from pathlib import Path

from potstill import files, runtime
from potstill.export import build
from potstill.models import formats
from potstill.models.chat import ChatTokenizer
from potstill.sampling.sampling import Answer, Done, Prompt

_QUANTISATION = "q8_0"  # what a q8_0 artefact answers differs from its checkpoint's seldom
_FINISH = {"length": "length", "context": "length"}


def _reading() -> list[str]:
    """Return what else decides an answer: llama.cpp and our code, which settle near ties.

    So answers that are kept are those that a fresh checkout gets.
    """
    code = [
        path for path in files.files_below(Path(runtime.__file__).parent) if path.suffix == ".py"
    ]
    return [metadata.version("llama_cpp_python"), *map(files.sha256_file, code)]


class LlamaCpp:
    """Answers from a checkpoint as a GGUF file of 8 bits, which is made first."""

    def __init__(
        self, checkpoint: Path, *, max_tokens: int, temperature: float, seed: int, threads: int
    ) -> None:
        """Make and load nothing yet: all answers may be there from before."""
        self._checkpoint, self._threads, self._max_tokens = checkpoint, threads, max_tokens
        self._sampling = runtime.Sampling(temperature=temperature, seed=seed)
        how = (files.sha256_tree(checkpoint), str(max_tokens), str(temperature), str(seed))
        self.identity = files.row_id("llama_cpp", _QUANTISATION, *how, *_reading())

    def estimate(self, prompts: Sequence[Prompt]) -> str:
        """Return the most tokens that are made."""
        return f"at most {len(prompts) * self._max_tokens:,} tokens"

    def ask(self, prompts: Sequence[Prompt], done: Done) -> None:
        """Answer prompts; each answer ends at an end token or with its first whole code block.

        Raises:
            InputError: llama.cpp does not carry this checkpoint, or a prompt is too long.
        """
        chat = ChatTokenizer(self._checkpoint)
        requests = [
            runtime.Request(
                chat.encode(chat.render(prompt.messages)),
                self._max_tokens,
                sampling=self._sampling,
                sample=prompt.sample,
                until=formats.has_closed_block,
            )
            for prompt in prompts
        ]
        longest = max(len(request.prompt) for request in requests) + self._max_tokens

        def tell(place: int, answer: runtime.Answer) -> None:
            tokens = (len(requests[place].prompt), len(answer.ids))
            done(place, Answer(answer.text, _FINISH.get(answer.finish, "stop"), tokens))

        with tempfile.TemporaryDirectory() as folder:
            artefact = Path(folder) / "teacher"
            build.build(self._checkpoint, artefact, format="gguf", quantisation=_QUANTISATION)
            model = runtime.load(artefact, threads=self._threads, context=longest)
            with closing(model):
                model.generate(requests, done=tell)
