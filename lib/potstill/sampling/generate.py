"""The teacher on this machine, several prompts at a time, through transformers' `generate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from potstill import files
from potstill.loading import generation, load
from potstill.loading.load import CausalLM
from potstill.models import formats
from potstill.models.chat import ChatTokenizer
from potstill.sampling.sampling import Answer, Done, Prompt


class Generate:
    """Answers from a checkpoint; each ends at an end token or with its first whole code block."""

    def __init__(
        self,
        checkpoint: Path,
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        batch_rows: int,
        threads: int,
    ) -> None:
        """Load nothing yet: all answers may be there from before."""
        self._checkpoint, self._batch_rows, self._threads = checkpoint, batch_rows, threads
        self._max_tokens, self._temperature, self._seed = max_tokens, temperature, seed
        how = (files.sha256_tree(checkpoint), str(max_tokens), str(temperature), str(seed))
        self.identity = files.row_id("generate", *how)

    def estimate(self, prompts: Sequence[Prompt]) -> str:
        """Return the most tokens that are made."""
        return f"at most {len(prompts) * self._max_tokens:,} tokens"

    def ask(self, prompts: Sequence[Prompt], done: Done) -> None:
        """Answer batch by batch; prompts of similar length are asked together."""
        torch.set_num_threads(self._threads)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        model = load.causal_lm(self._checkpoint, dtype, device)
        chat = ChatTokenizer(self._checkpoint)
        ids = [chat.encode(chat.render(prompt.messages)) for prompt in prompts]
        keys = [(-len(each), p.id, p.sample) for each, p in zip(ids, prompts, strict=True)]
        order = sorted(range(len(ids)), key=keys.__getitem__)
        for start in range(0, len(order), self._batch_rows):
            places = order[start : start + self._batch_rows]
            batch = [prompts[place] for place in places]
            made = self._batch(model, chat, batch, [ids[place] for place in places])
            for place, answer in zip(places, made, strict=True):
                done(place, answer)

    def _batch(
        self, model: CausalLM, chat: ChatTokenizer, batch: list[Prompt], ids: list[list[int]]
    ) -> list[Answer]:
        seeds = [files.row_id(str(self._seed), p.id, str(p.sample)) for p in batch]
        drawn = [_Drawn(self._temperature, seeds)] if self._temperature else []
        length = max(map(len, ids))

        def have_code(ids_BT: torch.Tensor, _: object, **__: object) -> torch.Tensor:
            texts = [chat.decode(each) for each in ids_BT[:, length:].tolist()]
            ended = [formats.has_closed_block(text) for text in texts]
            return torch.tensor(ended, device=ids_BT.device)

        made = generation.answers(
            model,
            chat,
            ids,
            self._max_tokens,
            stopping_criteria=[have_code],
            logits_processor=drawn,
            do_sample=False,
        )
        return [_answer(len(prompt), found) for prompt, found in zip(ids, made, strict=True)]


def _answer(prompt_tokens: int, made: dict[str, Any]) -> Answer:
    finish = "stop" if formats.has_closed_block(made["text"]) else made["finish"]
    return Answer(made["text"], finish, (prompt_tokens, made["tokens"]))


class _Drawn:
    """Draws ids in each row from numbers of its own, so that no answer depends on its batch.

    The likeliest id after adding Gumbel noise is a draw from the softmax (Gumbel 1954; Maddison
    et al. 2014), so `generate` itself draws nothing.
    """

    def __init__(self, temperature: float, seeds: list[str]) -> None:
        self._temperature = temperature
        self._sources = [torch.Generator().manual_seed(int(seed, 16) % 2**63) for seed in seeds]

    def __call__(self, _: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
        noise_BV = torch.stack(
            [
                torch.empty(scores_BV.shape[-1]).exponential_(generator=source)
                for source in self._sources
            ]
        )
        return scores_BV / self._temperature - noise_BV.log().to(scores_BV)
