"""What a checkpoint computes on fixed texts, recorded once for all the artefacts made from it.

An artefact is compared with this file alone: it takes neither the checkpoint nor torch, so the
comparison costs little and can run where the artefact will. The checkpoint runs in float32 on the
CPU, as transformers computes it.

File: safetensors, for text n `ids.n` int64 [N] and `logits.n` float32 [T, V]; for prompt n
`prompt.n` int64 [P] and `answer.n` int64 [A]; everything else is JSON in the metadata.

Dimensions: N tokens of a text, T of them read by the model, V vocabulary, P tokens of a prompt, A
of its greedy continuation.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import Field

from potstill import files
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.params import Section


class Settings(Section):
    """How much is recorded: `record_reference`."""

    texts: Annotated[int, Field(ge=1)]  # validation rows, read token by token
    max_length: Annotated[int, Field(ge=2)]  # a text is cut to this many tokens
    greedy_prompts: Annotated[int, Field(ge=0)]  # of the rows, answered greedily
    greedy_tokens: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Text:
    """A rendered chat, its ids and the logits of the first T; row t predicts ids[t + 1]."""

    text: str
    ids: list[int]
    logits_TV: np.ndarray


@dataclass(frozen=True)
class Answer:
    """A prompt and its greedy continuation, with the stop id where it has ended."""

    prompt: list[int]
    ids: list[int]


@dataclass(frozen=True)
class Reference:
    """A checkpoint's identity, tokenizer and behaviour."""

    checkpoint_sha256: str
    template: str
    stop_ids: frozenset[int]
    texts: list[Text]
    answers: list[Answer]


class Model(Protocol):
    """What is recorded of: `potstill.loading.load.ReferenceModel`."""

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Return float32 logits [T, V]."""
        ...

    def answer(self, ids: Sequence[int], max_tokens: int, stop_ids: list[int]) -> list[int]:
        """Return the greedy continuation with the stop id that ends it."""
        ...


def record(
    model: Model,
    checkpoint: Path,
    chats: Sequence[list[dict[str, str]]],
    out: Path,
    settings: Settings,
) -> None:
    """Run a model over chats, each ending in an answer, and write what it computes.

    Args:
        model: the checkpoint, loaded.
        checkpoint: its folder, for the tokenizer and the hash.
        chats: messages; the first `settings.texts` are read, the first `settings.greedy_prompts`
            answered.
        out: the file to write.
        settings: how much is recorded.

    Raises:
        InputError: the checkpoint has no tokenizer or no chat template.
    """
    from safetensors.numpy import save_file

    chat = ChatTokenizer(checkpoint)
    texts = [chat.render(c, add_generation_prompt=False) for c in chats[: settings.texts]]
    tensors: dict[str, np.ndarray] = {}
    for n, text in enumerate(texts):
        ids = chat.encode(text)
        logits = model.logits(ids[: settings.max_length])
        tensors |= {f"ids.{n}": np.array(ids), f"logits.{n}": logits}
    for n, messages in enumerate(chats[: settings.greedy_prompts]):
        prompt = chat.encode(chat.render(messages[:-1]))
        answer = model.answer(prompt, settings.greedy_tokens, sorted(chat.stop_ids))
        tensors |= {f"prompt.{n}": np.array(prompt), f"answer.{n}": np.array(answer)}
    facts = {
        "checkpoint_sha256": files.sha256_tree(checkpoint),
        "template": chat.template,
        "stop_ids": sorted(chat.stop_ids),
        "texts": texts,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out, metadata={"reference": json.dumps(facts, sort_keys=True)})


def read(path: Path) -> Reference:
    """Read what `record` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    again = "run `dvc repro record_reference` or `dvc pull`"
    try:
        with safe_open(path, framework="numpy") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["reference"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return Reference(
            checkpoint_sha256=facts["checkpoint_sha256"],
            template=facts["template"],
            stop_ids=frozenset(facts["stop_ids"]),
            texts=[
                Text(text, tensors[f"ids.{n}"].tolist(), tensors[f"logits.{n}"])
                for n, text in enumerate(facts["texts"])
            ],
            answers=[
                Answer(tensors[f"prompt.{n}"].tolist(), tensors[f"answer.{n}"].tolist())
                for n in range(sum(name.startswith("prompt.") for name in tensors))
            ],
        )
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {again}") from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it and {again}") from None
