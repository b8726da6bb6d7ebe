"""Ask several teachers, each for its share, then for answers to the requests that it wrote."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from potstill import files, splits
from potstill.errors import InputError
from potstill.params import Section
from potstill.runtime import Samples
from potstill.sampling import draw, functions, sampling, teachers
from potstill.sampling.kept import Kept
from potstill.sampling.sampling import Backend, Row
from potstill.sampling.teachers import Teacher


class Mined(Section):
    """Which mined functions the teachers are asked for."""

    max_functions: Annotated[int, Field(ge=0)]  # of the training modules; 0: none
    back_translate: bool  # a teacher writes requests out of their code too, and answers those


class Settings(Samples):
    """Who is asked, and how."""

    teachers: Annotated[list[Teacher], Field(min_length=1)]  # who answers what
    backend: Literal["llama_cpp", "transformers"]  # on this machine; the latter takes a GPU
    mined: Mined
    max_tokens: Annotated[int, Field(ge=1)]
    batch_rows: Annotated[int, Field(ge=1)]  # answers at a time, of transformers
    threads: int
    seed: int


@dataclass
class Asked:
    """What came of it.

    Attributes:
        answers: rows of `sampling.sample` with the teacher.
        words: such rows too, in which a teacher says what a function does.
        requests: how many requests these made, and why others were not asked.
        num_wanted: answers and words.
        cost: of both.
    """

    answers: list[Row] = field(default_factory=list)
    words: list[Row] = field(default_factory=list)
    requests: "Counter[str]" = field(default_factory=Counter)
    num_wanted: int = 0
    cost: float = 0.0

    def add(self, one: Teacher, default: str, made: Sequence[Row], words: Set[str]) -> None:
        """Add what a teacher said; the ids of its words are known, `default` is its name."""
        for row in made:
            side = self.words if row["id"] in words else self.answers
            side.append({**row, "teacher": one.name(default)})
        self.cost += one.cost(made)

    def summary(self, max_length_share: float) -> dict[str, float]:
        """Return what is counted; `not_asked` is what a budget left out.

        Raises:
            InputError: more answers than the share were cut by their limit.
        """
        share = sum(row["finish"] == "length" for row in self.answers) / len(self.answers)
        if share > max_length_share:
            raise InputError(
                f"{share:.0%} of the answers are cut at sample_teacher.max_tokens: raise it, or "
                "max_length_share"
            )
        made = [*self.answers, *self.words]
        whose = Counter(f"answers_{row['teacher']}" for row in self.answers)
        return {
            "answers": len(self.answers),
            "not_asked": self.num_wanted - len(made),
            "refused": sum(row["finish"] == "refused" for row in self.answers),
            "prompt_tokens": sum(row["tokens"][0] for row in made),
            "answer_tokens": sum(row["tokens"][1] for row in made),
            "cost": self.cost,
            "hit_length_limit_share": share,
            **whose,
            **self.requests,
        }


@dataclass(frozen=True)
class Panel:
    """The teachers, with what they are asked.

    Attributes:
        settings: who is asked, and how.
        checkpoint: of a teacher that names no model.
        models: folder of those that are named.
    """

    settings: Settings
    checkpoint: Path
    models: Path

    def backend(self, one: Teacher) -> Backend:
        """Return what asks a teacher."""
        local = self.settings.model_dump(include={"backend", "batch_rows", "threads"})
        how = self.settings.model_dump(include={"max_tokens", "temperature", "seed"})
        checkpoint = self.models / one.model if one.model else self.checkpoint
        return teachers.backend(one, checkpoint, local, how)

    def tasks(self, path: Path, weights: Mapping[str, float], most: int) -> list[Row]:
        """Return so many task rows of a JSONL file that some teacher may answer, as drawn."""
        return draw.in_order(self._able(path), weights, self.settings.seed)[:most]

    def functions(self, path: Path, most: int) -> list[Row]:
        """Return so many mined functions, task rows too: of the training modules alone."""
        mine = [row for row in self._able(path) if splits.split(row["group"]) == "train"]
        return draw.in_order(mine, {}, self.settings.seed)[:most]

    def _able(self, path: Path) -> list[Row]:
        read = files.read_jsonl(path, ["id", "task", "language", "level"])
        return [row for row in read if any(one.answers(row) for one in self.settings.teachers)]


def ask(panel: Panel, tasks: Sequence[Row], mined: Sequence[Row], kept: Kept) -> Asked:
    """Return the answers to tasks and to mined functions.

    Args:
        panel: of whom some may answer each.
        tasks: rows with id, task, language and level.
        mined: functions, such rows too, with name, arguments and code.
        kept: answers of this and earlier runs.

    Raises:
        InputError: there are no tasks, a teacher says nothing, or a back end cannot go on.
    """
    if not tasks:
        raise InputError(
            "no training task is for any of sample_teacher.teachers: widen languages or levels"
        )
    how = panel.settings
    words = [functions.wording(row) for row in mined] if how.mined.back_translate else []
    prompts = [*sampling.prompts_of([*tasks, *mined], how.samples), *words]
    rows = {row["id"]: row for row in [*tasks, *mined]}
    rows |= {functions.identity(row): row for row in mined}
    found = Asked(num_wanted=len(prompts))
    shares = teachers.divide(prompts, rows, how.teachers, how.seed)
    for one, share in zip(how.teachers, shares, strict=True):
        if share:
            backend = panel.backend(one)
            made = sampling.sample(share, backend, kept)
            own, counts = functions.own(made, mined, how.samples)
            made += sampling.more(own, backend, kept)
            found.add(one, panel.checkpoint.name, made, {prompt.id for prompt in words})
            found.requests.update(counts)
            found.num_wanted += len(own)
    return found
