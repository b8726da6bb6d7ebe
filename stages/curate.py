"""Keep what is inside the subset, without secrets, new, in no benchmark, and passes its tests.

Reads   prompts     folder with train.jsonl (task rows with references and tests)
        samples     the teacher's; functions with tests, answers of others, problems of benchmarks
Writes  out         accepted.jsonl, reflect.jsonl, rejected.jsonl; metrics: rows by reason, origin
"""

from pathlib import Path
from typing import Annotated

from potstill import sandbox, stage
from potstill.curation import candidates, contamination, curation, shards, wording
from potstill.tasks.where import Where, below
from potstill.testing.execution import Execution
from pydantic import Field


class Params(contamination.Settings, curation.Settings):
    """Settings of `curate`, with those of `benchmarks` and `decontamination`."""

    policy: str  # subset policy
    max_code_characters: Annotated[int, Field(ge=1)]
    request_languages: list[str]  # of ISO 639; requests in others are rejected; none: all are taken
    slips: Annotated[int, Field(ge=0)]  # references with a planted fault, for reflect rows
    cpu_s: Annotated[float, Field(gt=0)]  # of one execution
    workers: Annotated[int, Field(ge=1)]
    sandbox: sandbox.Mode  # minimum: Landlock or mounts, seccomp and limits; all: every layer


def main(
    params: Params,
    *,
    prompts: Path,
    samples: Path,
    functions: Path,
    answers: Path,
    problems: Path,
    out: Path,
    scratch: Path,
) -> dict[str, int]:
    """Judge every candidate, of held-out katas what is near to them, and write both sides."""
    wording.check(params.request_languages)
    texts = contamination.known(Where(below(params.sources, problems)))
    index = contamination.Benchmarks(texts, params.ngram_words, params.code_jaccard)
    return {"benchmark_texts": contamination.count(texts)} | curation.curate(
        candidates.read(prompts, samples, functions / "functions.jsonl", answers, params.slips),
        rules=shards.Rules(
            params.policy, params.max_code_characters, params.request_languages, index
        ),
        heldout=candidates.heldout(prompts),
        settings=params,
        execution=Execution(sandbox.Limits(params.cpu_s), params.workers, params.sandbox),
        out=out,
        scratch=scratch,
    )


if __name__ == "__main__":
    stage.run(main, Params)
