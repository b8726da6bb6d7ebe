"""HumanEval-X in JavaScript: HumanEval's problems with signatures and tests in JavaScript.

Users point to the file; its rows have task_id, prompt, canonical_solution and test. The asserts of
a test run in the judge's own engine. Source: Zheng et al. 2023, arXiv 2303.17568.
"""

import re
from typing import Any

from potstill.errors import InputError
from potstill.models import formats
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import Where, read_rows

LICENCE = "Apache-2.0"
METHOD = "code"
SPLITS = ("test",)
MADE_OF: tuple[str, ...] = ()
TEXTS = ("task_id", "prompt", "canonical_solution", "test")
# Their solutions fail their own tests, in Node too; a right answer passes.
WRONG = ("JavaScript/112", "JavaScript/155")
_DECLARED = re.compile(r"^const (\w+) = ", re.MULTILINE)
_IMPORT = re.compile(r"\brequire\(|^import ", re.MULTILINE)


def problems(where: Where) -> list[Problem]:
    """Return all problems but those that need a module, which no sandbox has."""
    rows = read_rows(where, "humaneval_js", TEXTS)
    return [_problem(row) for row in rows if not _IMPORT.search(row["canonical_solution"])]


def texts(where: Where) -> list[Text]:
    """Return prompts with their solutions."""
    found = []
    for row in read_rows(where, "humaneval_js", TEXTS):
        code = row["prompt"] + row["canonical_solution"]
        found.append(Text(row["task_id"], code, code, "javascript"))
    return found


def _problem(row: dict[str, Any]) -> Problem:
    prompt = row["prompt"]
    declared = list(_DECLARED.finditer(prompt))
    if not declared:
        raise InputError(
            f"humaneval_js {row['task_id']}: the prompt must end in `const NAME = (...) => {{`"
        )
    entry = declared[-1]
    solution = prompt[entry.start() :] + row["canonical_solution"]
    helpers = prompt[: entry.start()] if len(declared) > 1 else ""
    return Problem(
        id=row["task_id"],
        task="humaneval_js",
        language="javascript",
        messages=formats.completion_prompt(prompt, "javascript"),
        request=prompt,
        entry_point=entry[1],
        tests=helpers + row["test"],
        family=row["task_id"],
        reference="" if row["task_id"] in WRONG else solution.rstrip(),
        # properties of the global object, which an answer may declare anew; constants it may not
        preamble=_DECLARED.sub(r"globalThis.\1 = ", helpers),
    )
