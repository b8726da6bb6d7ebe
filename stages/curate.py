"""Keep what is inside the subset, new, in no benchmark, and passes its tests.

Reads   prompts     folder with train.jsonl (task rows with references and tests)
        samples     JSONL of teacher answers
        functions   JSONL of mined functions
Writes  out         folder: accepted.jsonl, reflect.jsonl, rejected.jsonl
        metrics     rows in and kept, by origin; rejected by reason
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from potstill import files, sandbox, stage
from potstill.data import contamination, curation, formats
from potstill.params import Section


class Params(Section):
    """Settings of `curate`."""

    policy: str  # subset policy
    max_code_characters: Annotated[int, Field(ge=1)]
    ngram_words: Annotated[int, Field(ge=4)]  # shared with a benchmark: contaminated
    slips: Annotated[int, Field(ge=0)]  # references with a planted error, for reflect rows
    cpu_s: Annotated[float, Field(gt=0)]  # of one execution
    workers: Annotated[int, Field(ge=1)]


def main(
    params: Params, *, prompts: Path, samples: Path, functions: Path, out: Path
) -> dict[str, int]:
    """Judge every candidate and write both sides."""
    tasks = {row["id"]: row for row in files.read_jsonl(prompts / "train.jsonl", ["id", "task"])}
    result = curation.curate(
        [*_answers(tasks, samples), *_references(tasks, params.slips), *_mined(functions)],
        policy=params.policy,
        max_code_characters=params.max_code_characters,
        benchmark=contamination.NGramIndex(contamination.humaneval_texts(), params.ngram_words),
        limits=sandbox.Limits(cpu_s=params.cpu_s),
        workers=params.workers,
    )
    out.mkdir()
    for name in ("accepted", "reflect", "rejected"):
        files.write_jsonl(out / f"{name}.jsonl", getattr(result, name))
    return result.counts()


def _row(task: dict[str, Any], origin: str, code: str) -> dict[str, Any]:
    return {
        **task, "id": files.row_id(task["id"], origin, code), "origin": origin, "code": code,
        "group": task["family"],
    }


def _answers(tasks: dict[str, Any], samples: Path) -> list[dict[str, Any]]:
    rows = []
    for answer in files.read_jsonl(samples, ["id", "text", "finish"]):
        code = formats.extract_code(answer["text"])
        extra = {"text": answer["text"], "finish": answer["finish"]}
        rows.append({**_row(tasks[answer["id"]], "teacher", code), **extra})
    return rows


def _references(tasks: dict[str, Any], slips: int) -> list[dict[str, Any]]:
    known = [task for task in tasks.values() if task["reference"]]
    rows = [_row(task, "reference", task["reference"]) for task in known]
    chosen = sorted((task for task in known if task["tests"]), key=lambda task: task["id"])
    for task in chosen[:slips]:
        code = curation.with_a_slip(task["reference"], task["entry_point"])
        if code is not None:
            rows.append(_row(task, "slip", code))
    return rows


def _mined(functions: Path) -> list[dict[str, Any]]:
    rows = []
    for row in files.read_jsonl(functions, ["id", "name", "docstring", "code"]):
        text = " ".join(row["docstring"].split("\n\n")[0].split())
        task = f"Write a function {row['name']}({row['arguments']}). {text}"
        rows.append({**row, "origin": "mined", "task": task, "plan": []})
    return rows


if __name__ == "__main__":
    stage.run(main, Params)
