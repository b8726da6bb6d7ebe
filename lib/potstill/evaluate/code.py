"""One answer a problem, which is code: it is run against tests and checked against the subset."""

from collections.abc import Sequence
from functools import partial

from potstill import sandbox, subset
from potstill.evaluate import answers, rates, scoring
from potstill.evaluate.grader import ending, header
from potstill.evaluate.methods import Measured, Quotient, Row
from potstill.evaluate.scoring import Desk, Settings
from potstill.models import formats
from potstill.runtime import Answer
from potstill.tasks import Problem

MEASURE = "pass_at_1"
FLAGS = (
    "passed", "lenient_passed", "inside_subset", "malformed", "hit_limit", "repeats",
)  # fmt: skip
PARTS = ("level", "language")
UNITS: dict[str, str] = {}
QUOTIENTS: dict[str, Quotient] = {}
MEASURES = {
    "pass_at_1": ("passed",),
    "pass_at_1_lenient": ("lenient_passed",),
    "inside_subset": ("inside_subset",),
    "pass_at_1_and_inside": ("passed", "inside_subset"),
    "malformed": ("malformed",),
    "repeats": ("repeats",),
}
KS = (1, 10, 100)


def rows(desk: Desk, problems: Sequence[Problem]) -> list[Row]:
    """Return a row for each answer; see `judge`."""
    return scoring.ask(desk, problems, partial(judge, desk.how))


def measures(rows: Sequence[Row]) -> Measured:
    """Return the rates MEASURES, and pass_at_k where there are k samples."""
    values = {measure: rates.share(rows, *keys) for measure, keys in MEASURES.items()}
    samples = rates.fewest_samples(rows)
    for k in sorted({*KS, samples} - {1}):
        if k <= samples:
            values[f"pass_at_{k}"] = rates.pass_at(rows, k)
    return Measured(values)


def judge(how: Settings, problem: Problem, sample: int, answer: Answer) -> Row:
    """Return what is said of one answer.

    Keys: id, task, family, level, language, format, sample; passed and lenient_passed, of the code
    that the agent's rule takes and of the code that a patient reader finds; inside_subset, of the
    former; malformed, if the two are different; repeats, if it ran into a loop; hit_limit, if the
    cap cut it off otherwise; reason, why it did not pass; code.
    """
    strict = formats.extract_code(answer.text)
    lenient = answers.lenient_code(answer.text, problem.language, problem.entry_point)
    inside = subset.check(problem.language, strict, how.policy).supported
    run = execute(how, problem, strict)
    passed, reason = run.ok, reason_of(run)
    lenient_passed = passed or (lenient != strict and execute(how, problem, lenient).ok)
    if problem.inside_only and not inside:
        passed, reason = False, reason or "outside the subset"
        lenient_inside = subset.check(problem.language, lenient, how.policy).supported
        lenient_passed = lenient_passed and lenient_inside
    return {
        **header(problem, sample),
        "passed": passed,
        "lenient_passed": lenient_passed,
        "inside_subset": inside,
        "malformed": lenient != strict,
        **ending(answer),
        "reason": reason,
        "code": strict,
    }


def execute(how: Settings, problem: Problem, code: str) -> sandbox.RunResult:
    """Run an answer's code against the problem's tests."""
    case = problem.case(code, sandbox.Limits(cpu_s=how.cpu_s))
    return sandbox.run_many([case], 1, mode=how.sandbox)[0]


def reason_of(run: sandbox.RunResult) -> str:
    """Return why a program did not pass, in a few words; empty when it passed."""
    if run.ok:
        return ""
    if run.killed_by:
        return f"killed: {run.killed_by}"
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    if lines:
        return lines[-1].strip()[:120]
    return f"{run.tests_passed} of {run.tests_total} tests passed"
