"""Mined functions as tasks, and the words in which a teacher asks for them.

A docstring may say too little to write its function. So a teacher that is strong enough reads the
code, says in its own words what is asked for, and has to solve that without the code: `curate`
takes the words where one of its answers passes the function's tests. Words that show the code
prove nothing and are not asked. Source: instruction back-translation (Li et al. 2023,
arXiv:2308.06259), with execution in place of their model's judgement.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from potstill import files
from potstill.mining import requests
from potstill.models import division, formats
from potstill.sampling.sampling import Prompt

Row = dict[str, Any]
_WORD = re.compile(r"\w+")
_LEAST_WORDS = 3  # of a line of code that nobody writes by chance


def identity(function: Row) -> str:
    """Return the id of the prompt that asks for a function's request."""
    return files.row_id("request", function["id"])


def wording(function: Row) -> Prompt:
    """Return the prompt that shows a function's code and asks for the request."""
    asked, language = requests.signature(function), function["language"]
    system, _ = formats.describe_prompt(function["code"], language)
    text = (
        f"A programmer shall write the {formats.LANGUAGE_NAMES[language]} function {asked} and "
        f"cannot see this code:\n\n{function['code']}\n\nTell the programmer in two to five plain "
        f"sentences what {asked} takes and what it returns, with every special case and every "
        "constant that matters. No code, no list, no headings."
    )
    return Prompt(identity(function), [system, {"role": "user", "content": text}])


def told(answer: Mapping[str, Any], function: Row) -> tuple[str, str | None]:
    """Return the request that a teacher's words make, and why it is not asked, if it is not."""
    if answer["finish"] == "refused":
        return "", "refused"
    if not answer["text"].strip():
        return "", "empty"
    if answer["finish"] == "length":
        return "", "cut_off"
    text = requests.request(function, answer["text"])
    words = text.replace(requests.signature(function), " ")  # every request has it
    return text, "shows_code" if shows(words, function["code"]) else None


def shows(words: str, code: str) -> bool:
    """Say whether words show code: a block, a run of its words, or a line of it as it stands."""
    lines = [line for line in code.splitlines() if len(_WORD.findall(line)) >= _LEAST_WORDS]
    is_quoted = any(_squeezed(line) in _squeezed(words) for line in lines)
    return is_quoted or "```" in words or division.copies(code, words)


def _squeezed(text: str) -> str:
    return "".join(text.lower().split())


def own(
    made: Sequence[Row], functions: Sequence[Row], samples: int
) -> tuple[list[Prompt], "Counter[str]"]:
    """Return the prompts of the requests that a teacher wrote, and how many it did, or why not.

    Args:
        made: its answers, those to `wording` among them.
        functions: that are asked about.
        samples: answers to each request.
    """
    by_id = {identity(function): function for function in functions}
    counts, asked = Counter[str](), list[tuple[Row, str]]()
    for answer in made:
        if answer["id"] in by_id:
            text, why = told(answer, by_id[answer["id"]])
            counts[f"requests_{why or 'written'}"] += 1
            if why is None:
                asked.append((by_id[answer["id"]], text))
    prompts = [
        Prompt(row["id"], formats.code_prompt(text, row["language"]), number, request=text)
        for number in range(samples)
        for row, text in asked
    ]
    return prompts, counts
