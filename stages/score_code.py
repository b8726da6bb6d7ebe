"""Let an artefact solve katas of a split and HumanEval through its own runtime; pass@1.

Reads   artefact    exported artefact
        prompts     folder with validation.jsonl and test.jsonl (task rows)
Writes  out         JSONL: one row a problem, with the answer and why it failed
        metrics     the katas' split; pass@1 with 95 % intervals, inside-subset rates, by level and
                    language
"""

from pathlib import Path

from potstill import files, runtime, stage
from potstill.evaluate import code_tasks, rates
from potstill.evaluate.code_tasks import Settings as Params
from potstill.models.chat import ChatTokenizer


def main(params: Params, *, artefact: Path, prompts: Path, out: Path) -> dict[str, float | str]:
    """Generate, execute, count."""
    path = prompts / f"{params.split}.jsonl"
    tasks = files.read_jsonl(path, ["id", "task", "tests", "family"])
    model = runtime.load(artefact, threads=params.threads, context=params.context)
    try:
        rows = code_tasks.score_all(model, ChatTokenizer(artefact), tasks, params)
    finally:
        model.close()
    files.write_jsonl(out, rows)
    return {"katas_split": params.split, **rates.summary(rows)}


if __name__ == "__main__":
    stage.run(main, Params)
