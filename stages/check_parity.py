"""Compare an artefact, in its own runtime, with the checkpoint that it came from.

Reads   artefact    exported artefact
        checkpoint  its Hugging Face folder, run in float32
        dataset     folder with heldout.jsonl, the rows that both sides read
Writes  metrics     verdict (pass | fail | not-run) with its reason; agreement, KL, likelihood
"""

from itertools import islice
from pathlib import Path
from typing import Annotated

from potstill import files, runtime, stage
from potstill.errors import MissingPackageError
from potstill.evaluate import parity
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from pydantic import Field


class Params(Section):
    """Settings of `check_parity`; the thresholds are those of `parity.Thresholds`."""

    texts: Annotated[int, Field(ge=1)]
    greedy_prompts: Annotated[int, Field(ge=0)]
    greedy_tokens: Annotated[int, Field(ge=1)]
    max_length: Annotated[int, Field(ge=2)]
    margin_logits: Annotated[float, Field(ge=0)]
    min_agreement: Annotated[float, Field(ge=0, le=1)]
    max_kl_nats: Annotated[float, Field(ge=0)]
    max_nll_difference_nats: Annotated[float, Field(ge=0)]
    context: Annotated[int, Field(ge=64)]
    threads: Annotated[int, Field(ge=1)]


def main(
    params: Params, *, artefact: Path, checkpoint: Path, dataset: Path
) -> dict[str, float | str]:
    """Compare; a runtime that is not installed here is reported as not run."""
    from potstill.models import load

    mine, original = ChatTokenizer(artefact), ChatTokenizer(checkpoint)
    rows = list(islice(files.read_jsonl(dataset / "heldout.jsonl", ["messages"]), params.texts))
    texts = [original.render(row["messages"], add_generation_prompt=False) for row in rows]
    prompts = [original.render(row["messages"][:-1]) for row in rows[: params.greedy_prompts]]
    try:
        model = runtime.load(artefact, threads=params.threads, context=params.context)
    except MissingPackageError as error:
        return {"verdict": "not-run", "reason": str(error), "n_tokens": 0}
    try:
        return parity.compare(
            model, mine, load.reference_logits(checkpoint, params.threads), original, texts,
            prompts,
            thresholds=parity.Thresholds(
                params.margin_logits, params.min_agreement, params.max_kl_nats,
                params.max_nll_difference_nats,
            ),
            greedy_tokens=params.greedy_tokens, max_length=params.max_length,
        )  # fmt: skip
    finally:
        model.close()


if __name__ == "__main__":
    stage.run(main, Params)
