"""Compare an artefact, in its own runtime, with the checkpoint that it came from.

Reads   artefact    exported artefact
        checkpoint  its Hugging Face folder, run in float32
        dataset     folder with heldout.jsonl, the rows that both sides read
Writes  metrics     verdict (pass | fail | not-run) with its reason; agreement, KL, likelihood
"""

from itertools import islice
from pathlib import Path

from potstill import files, runtime, stage
from potstill.errors import MissingPackageError
from potstill.evaluate import parity
from potstill.evaluate.parity import Settings as Params
from potstill.models.chat import ChatTokenizer


def main(
    params: Params, *, artefact: Path, checkpoint: Path, dataset: Path
) -> dict[str, float | str]:
    """Compare; a runtime that is not installed here is reported as not run."""
    from potstill.models import load

    original = ChatTokenizer(checkpoint)
    rows = list(islice(files.read_jsonl(dataset / "heldout.jsonl", ["messages"]), params.texts))
    texts = [original.render(row["messages"], add_generation_prompt=False) for row in rows]
    prompts = [original.render(row["messages"][:-1]) for row in rows[: params.greedy_prompts]]
    try:
        model = runtime.load(artefact, threads=params.threads, context=params.context)
    except MissingPackageError as error:
        return {"verdict": "not-run", "reason": str(error), "n_tokens": 0}
    reference = load.reference_logits(checkpoint, params.threads)
    try:
        return parity.compare(
            model, ChatTokenizer(artefact), reference, original, texts, prompts, params
        )
    finally:
        model.close()


if __name__ == "__main__":
    stage.run(main, Params)
