"""One answer a problem: does it have the form that its prompt asks for? Nothing is run.

Code has it if what the agent's rule takes parses, defines the function and is inside the subset; a
plan if it is numbered steps and nothing else; a division into tasks if it is the JSON list that was
asked for. Whether it is right is another question: a mended program may be the broken one.
"""

from collections.abc import Sequence
from functools import partial

from potstill import subset
from potstill.evaluate import answers, rates, replies, scoring
from potstill.evaluate.grader import ending, header
from potstill.evaluate.methods import Measured, Quotient, Row
from potstill.evaluate.scoring import Desk, Settings
from potstill.models import formats
from potstill.runtime import Answer
from potstill.tasks import Problem

MEASURE = "well_formed"
FLAGS = ("passed", "lenient_passed", "hit_limit", "repeats")
PARTS = ("format",)
UNITS: dict[str, str] = {}
QUOTIENTS: dict[str, Quotient] = {}
MEASURES = {
    "well_formed": ("passed",),
    "well_formed_lenient": ("lenient_passed",),
    "repeats": ("repeats",),
}


def rows(desk: Desk, problems: Sequence[Problem]) -> list[Row]:
    """Return a row for each answer; see `judge`."""
    return scoring.ask(desk, problems, partial(judge, desk.how))


def measures(rows: Sequence[Row]) -> Measured:
    """Return the share that is well-formed, strictly and to a patient reader, and that of loops."""
    return Measured({measure: rates.share(rows, *keys) for measure, keys in MEASURES.items()})


def judge(how: Settings, problem: Problem, sample: int, answer: Answer) -> Row:
    """Return what is said of one answer.

    Keys: those of every row; passed, if the agent finds the form, and lenient_passed, if a patient
    reader does; repeats and hit_limit, as of code; answer.
    """
    is_formed = _read(how, problem, answer.text, patient=False)
    return {
        **header(problem, sample),
        "passed": is_formed,
        "lenient_passed": is_formed or _read(how, problem, answer.text, patient=True),
        **ending(answer),
        "answer": answer.text,
    }


def _read(how: Settings, problem: Problem, text: str, *, patient: bool) -> bool:
    if problem.format == "plan":
        return bool(replies.steps(text, patient=patient))
    if problem.format == "decompose":
        return bool(replies.tasks(text, patient=patient))
    code = formats.extract_code(text)
    if patient:
        code = answers.lenient_code(text, problem.language, problem.entry_point)
    is_inside = subset.check(problem.language, code, how.policy).supported
    return is_inside and answers.defines(code, problem.entry_point)
