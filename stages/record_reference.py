"""Run each checkpoint once over the texts that its artefacts are compared on.

Reads   teacher     checkpoint of the adapted teacher
        students    folder of checkpoints, one a student
        dataset     folder with validation.jsonl and test.jsonl
Writes  out         one safetensors file a checkpoint, named as below models/: token ids, logits,
                    greedy answers, chat template, stop ids; teacher_answers.safetensors: the
                    teacher's logits at each token of test answers
        metrics     checkpoints, texts, prompts, answers, bytes
"""

from itertools import islice
from pathlib import Path
from typing import Annotated

from potstill import files, stage
from potstill.proving import reference
from potstill.tokens import recorded
from pydantic import Field


class Params(reference.Settings):
    """Settings of `record_reference`."""

    teacher_answers: Annotated[int, Field(ge=1)]  # test rows, for KL to the teacher


def main(
    params: Params, *, teacher: Path, students: Path, dataset: Path, out: Path
) -> dict[str, int]:
    """Record the teacher and every student; a model has no name, or it would be held too long."""
    from potstill.loading.load import ReferenceModel

    checkpoints = [teacher, *sorted(path.parent for path in students.glob("*/config.json"))]
    rows = files.read_jsonl(dataset / "validation.jsonl", ["messages"])
    chats = [row["messages"] for row in islice(rows, params.texts)]
    for path in checkpoints:
        folder = out / path.parent.name if path.parent == students else out
        made = folder / f"{path.name}.safetensors"
        reference.record(ReferenceModel(path, params.threads), path, chats, made, params)
    test = files.read_jsonl(dataset / "test.jsonl", ["id", "group", "messages"])
    most = {"count": params.teacher_answers, "max_length": params.max_length}
    model = ReferenceModel(teacher, params.threads)
    return {
        "num_checkpoints": len(checkpoints),
        "n_texts": len(chats),
        "greedy_prompts": min(len(chats), params.greedy_prompts),
        "n_answers": recorded.record(model, teacher, test, out / recorded.NAME, **most),
        "bytes": sum(path.stat().st_size for path in files.files_below(out)),
    }


if __name__ == "__main__":
    stage.run(main, Params)
