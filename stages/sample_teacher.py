"""Ask the teacher to solve training tasks and keep its answers as they are.

Reads   teacher     checkpoint (asked here, unless params name an endpoint)
        prompts     folder with train.jsonl (task rows)
Writes  out         JSONL: task id, answer text, why it ended
        metrics     answers, share that hit the length limit
"""

import os
from pathlib import Path
from typing import Annotated, Any

from potstill import files, stage
from potstill.models import formats
from potstill.params import Section
from potstill.sampling import sampling
from pydantic import Field


class Params(Section):
    """Settings of `sample_teacher`."""

    backend: str  # local, or the base URL of an OpenAI-compatible server (key: OPENAI_API_KEY)
    model: str | None  # name of the model at the server
    max_rows: Annotated[int, Field(ge=1)]  # tasks, spread over the families
    max_tokens: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0)]  # 0 takes the most probable token
    batch_rows: Annotated[int, Field(ge=1)]
    threads: int
    seed: int


def main(
    params: Params, *, teacher: Path, prompts: Path, out: Path, scratch: Path
) -> dict[str, float]:
    """Sample one answer a task."""
    tasks = list(files.read_jsonl(prompts / "train.jsonl", ["id", "task", "language"]))
    chosen = sorted(tasks, key=lambda row: files.row_id(str(params.seed), row["id"]))
    rows = [
        {"id": row["id"], "messages": formats.code_prompt(row["task"], row["language"])}
        for row in chosen[: params.max_rows]
    ]
    how: dict[str, Any] = {
        "max_tokens": params.max_tokens,
        "temperature": params.temperature,
        "seed": params.seed,
    }
    if params.backend == "local":
        ask = sampling.local(teacher, threads=params.threads, **how)
    else:
        key = os.environ.get("OPENAI_API_KEY", "")
        ask = sampling.endpoint(params.backend, params.model or "", api_key=key, **how)
    answers = sampling.sample(rows, ask, batch_rows=params.batch_rows, scratch=scratch)
    files.write_jsonl(out, answers)
    capped = sum(row["finish"] == "length" for row in answers)
    return {"answers": len(answers), "hit_length_limit_share": capped / len(answers)}


if __name__ == "__main__":
    stage.run(main, Params)
