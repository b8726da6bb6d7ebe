"""What a student is asked while it is trained: curated tasks, which have tests and no benchmark."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from potstill import files, splits
from potstill.data import completion
from potstill.errors import InputError
from potstill.models import formats
from potstill.models.chat import ChatTokenizer, Message
from potstill.tokens import folds
from potstill.tokens.examples import Example

Asking = Literal["code", "complete"]


@dataclass(frozen=True)
class Task:
    """A prompt with what decides whether an answer to it is right.

    Attributes:
        ids: of the prompt, for the student's tokenizer.
        messages: the same as a person reads it.
        row: the task: language, tests, entry_point, group.
        format: which of the prompts it is.
    """

    ids: tuple[int, ...]
    messages: Sequence[Message]
    row: Mapping[str, Any] = field(repr=False)
    format: Asking

    def example(self) -> Example:
        """Return the prompt as a row without an answer."""
        row = self.row
        return Example(self.ids, (), row["group"], row["language"], format=self.format)


def read(
    path: Path,
    asking: Collection[Asking],
    wanted: Collection[int],
    max_mined: int,
    chat: ChatTokenizer,
) -> list[Task]:
    """Return the prompts of the training tasks, each task once in each way of asking.

    Args:
        path: rows that `curate` accepted; those without tests are left out.
        asking: the ways.
        wanted: folds of the tasks' groups.
        max_mined: mined functions among the tasks at most, the first by their ids.
        chat: the student's tokenizer.

    Raises:
        InputError: no task is left.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    num_mined = 0
    for row in sorted(files.read_jsonl(path, ["id", "task", "group"]), key=lambda row: row["id"]):
        key = (row["language"], row["task"])
        is_mined = "docstring" in row
        trains = splits.split(row["group"]) == "train" and folds.fold_of(row["group"]) in wanted
        if (
            key in found
            or not row.get("tests")
            or not trains
            or (is_mined and num_mined == max_mined)
        ):
            continue
        found[key] = row
        num_mined += is_mined
    asked = [task for row in found.values() for task in _asked(row, asking, chat)]
    made = list({task.ids: task for task in reversed(asked)}.values())[::-1]  # of equals the first
    if not made:
        raise InputError(
            f"{path} has no task with tests of the folds {sorted(wanted)}: name others"
        )
    return made


def _asked(row: Mapping[str, Any], asking: Collection[Asking], chat: ChatTokenizer) -> list[Task]:
    found: list[tuple[Asking, Sequence[Message]]] = []
    if "code" in asking:
        found.append(("code", formats.code_prompt(row["task"], row["language"])))
    if "complete" in asking:
        made = completion.completion_rows([dict(row)])
        found += [("complete", one["messages"][:-1]) for one in made]
    return [Task(tuple(chat.encode(chat.render(messages))), messages, row, name)
            for name, messages in found]  # fmt: skip
