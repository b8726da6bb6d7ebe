"""Keep what is inside the subset, new, in no benchmark, and passes its tests.

Reads   prompts     folder with train.jsonl (task rows with references and tests)
        samples     JSONL of teacher answers; functions, of mined functions
        answers     folder of other models' answers; problems, of benchmarks' files
Writes  out         accepted.jsonl, reflect.jsonl, rejected.jsonl; metrics: rows by reason, origin
"""

from pathlib import Path
from typing import Annotated

from potstill import sandbox, stage
from potstill.curation import candidates, contamination, curation
from potstill.curation.proof import Execution
from potstill.params import Section
from potstill.sandbox import Mode
from potstill.tasks.where import FolderSources, below
from pydantic import Field


class Params(Section):
    """Settings of `curate`, with the files of `benchmarks`."""

    sources: FolderSources  # what must not be trained on
    policy: str  # subset policy
    max_code_characters: Annotated[int, Field(ge=1)]
    ngram_words: Annotated[int, Field(ge=4)]  # shared with a benchmark: contaminated
    near_duplicate: Annotated[float, Field(gt=0, le=1)]  # Jaccard index of texts that repeat
    slips: Annotated[int, Field(ge=0)]  # references with a planted fault, for reflect rows
    max_mined: Annotated[int, Field(ge=0)]  # mined functions that are tried for tests of their own
    cpu_s: Annotated[float, Field(gt=0)]  # of one execution
    workers: Annotated[int, Field(ge=1)]
    sandbox: Mode  # minimum: Landlock or mounts, seccomp and limits; all: every layer


def main(
    params: Params,
    *,
    prompts: Path,
    samples: Path,
    functions: Path,
    answers: Path,
    problems: Path,
    out: Path,
) -> dict[str, int]:
    """Judge every candidate and write both sides."""
    texts = contamination.benchmark_texts(below(params.sources, problems))
    names = {"policy", "max_code_characters", "near_duplicate", "max_mined"}
    result = curation.curate(
        candidates.read(prompts, samples, functions, answers, params.slips),
        benchmark=contamination.NGramIndex(texts, params.ngram_words),
        heldout=candidates.heldout(prompts),
        execution=Execution(sandbox.Limits(params.cpu_s), params.workers, params.sandbox),
        **params.model_dump(include=names),
    )
    return result.write(out) | {"benchmark_texts": len(texts)}


if __name__ == "__main__":
    stage.run(main, Params)
