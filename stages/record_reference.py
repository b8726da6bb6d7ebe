"""Run each checkpoint once over the texts that its artefacts are compared on.

Reads   teacher     checkpoint of the adapted teacher
        students    folder of checkpoints, one a student
        dataset     folder with validation.jsonl
Writes  out         one safetensors file a checkpoint, named as below models/: token ids, logits,
                    greedy answers, chat template, stop ids
        metrics     checkpoints, texts, prompts, bytes
"""

from itertools import islice
from pathlib import Path

from potstill import files, stage
from potstill.proving import reference
from potstill.proving.reference import Settings as Params


def main(
    params: Params, *, teacher: Path, students: Path, dataset: Path, out: Path
) -> dict[str, int]:
    """Record the teacher and every student."""
    from potstill.loading import load

    checkpoints = [teacher, *sorted(path.parent for path in students.glob("*/config.json"))]
    rows = files.read_jsonl(dataset / "validation.jsonl", ["messages"])
    chats = [row["messages"] for row in islice(rows, params.texts)]
    for path in checkpoints:
        folder = out / path.parent.name if path.parent == students else out
        # The model gets no name here: it would be held while the next one is loaded.
        reference.record(
            load.ReferenceModel(path, params.threads),
            path,
            chats,
            folder / f"{path.name}.safetensors",
            params,
        )
    return {
        "num_checkpoints": len(checkpoints),
        "n_texts": len(chats),
        "greedy_prompts": min(len(chats), params.greedy_prompts),
        "bytes": sum(path.stat().st_size for path in files.files_below(out)),
    }


if __name__ == "__main__":
    stage.run(main, Params)
