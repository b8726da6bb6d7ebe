"""What a teacher makes of held-out answers, recorded once: its logits at each of their tokens.

An artefact is compared with this file alone, which takes neither the teacher nor torch.

File: safetensors, for row n `ids.n` int64 [N] and `logits.n` float32 [A, V]; the rest is JSON in
the metadata.

Dimensions: N ids of prompt and answer, A of the answer, V ids of the teacher's vocabulary.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from potstill import files
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.tokens import spans

NAME = "teacher_answers.safetensors"  # beside the records of checkpoints
_AGAIN = "run `dvc repro record_reference` or `dvc pull`"


class Model(Protocol):
    """What is recorded of: `potstill.loading.load.ReferenceModel`."""

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Return float32 logits [N, V]."""
        ...


@dataclass(frozen=True)
class Answered:
    """A row whose answer the teacher has read.

    Attributes:
        row: id, group, language, format, messages, and tools where the template shows some.
        ids: of prompt and answer.
        start: place of the answer's first id.
    """

    row: dict[str, Any]
    ids: list[int]
    start: int


@dataclass(frozen=True)
class Teaching:
    """A file that `record` wrote."""

    path: Path
    checkpoint_sha256: str
    answers: list[Answered]

    def logits(self, number: int) -> np.ndarray:
        """Return the teacher's logits [A, V] at the n-th answer; row a predicts its id a."""
        from safetensors import safe_open

        with safe_open(self.path, framework="numpy") as file:
            found: np.ndarray = file.get_tensor(f"logits.{number}")
        return found


def record(
    model: Model,
    checkpoint: Path,
    rows: Iterable[dict[str, Any]],
    out: Path,
    *,
    count: int,
    max_length: int,
) -> int:
    """Run a teacher over the first rows that fit and write what it makes of their answers.

    Args:
        model: the teacher, loaded.
        checkpoint: its folder, for tokenizer and hash.
        rows: chat rows with id, group and messages.
        out: the file to write.
        count: most rows.
        max_length: ids of the longest row.

    Returns:
        How many rows were recorded.
    """
    from safetensors.numpy import save_file

    chat, facts = ChatTokenizer(checkpoint), list[dict[str, Any]]()
    tensors: dict[str, np.ndarray] = {}
    for row in rows:
        if len(facts) == count:
            break
        try:
            ids, parts = spans.tokenise(chat, row)
        except spans.RejectedError:
            continue
        if len(ids) <= max_length:
            n, start = len(facts), parts[-1][0]
            tensors[f"ids.{n}"] = np.array(ids)
            tensors[f"logits.{n}"] = model.logits(ids)[start - 1 : -1].copy()
            facts.append({"row": row, "start": start})
    about = {"checkpoint_sha256": files.sha256_tree(checkpoint), "answers": facts}
    save_file(tensors, out, metadata={"teaching": json.dumps(about, sort_keys=True)})
    return len(facts)


def read(path: Path) -> Teaching:
    """Read what `record` wrote, but the logits.

    Raises:
        InputError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["teaching"])
            answers = [
                Answered(fact["row"], file.get_tensor(f"ids.{n}").tolist(), fact["start"])
                for n, fact in enumerate(about["answers"])
            ]
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {_AGAIN}") from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it and {_AGAIN}") from None
    return Teaching(path, about["checkpoint_sha256"], answers)
