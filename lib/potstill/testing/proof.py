"""Give mined functions tests of their own: their outputs, where these can be trusted.

A function is tried with many guessed arguments in the sandbox, twice, with different hash seeds.
Where both runs agree the outputs become its tests, if they tell its code from code with a fault.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from potstill import sandbox
from potstill.tasks import mutants
from potstill.testing import inputs, inputs_javascript
from potstill.testing.execution import Execution

Row = dict[str, Any]
Outputs = dict[str, Any]


MIN_TESTS, MAX_TESTS = 3, 6
_MUTANTS = 5
_MIN_NOTICED = 0.6  # of them: some faults change nothing that can be seen
_CPU_S = 1.0  # of one program: guesses and faults make endless loops, which all take their limit
_MAX_TEXT = 200  # characters of a test's JSON: what a person would write
_TRY = """
import copy, io, json, sys
def _try(function, tries):
    found, out = {}, sys.stdout
    sys.stdout = io.StringIO()
    for number, args in enumerate(tries):
        try:
            found[number] = json.loads(json.dumps(function(*copy.deepcopy(args)), allow_nan=False))
        except Exception:
            pass
    printed = sys.stdout.getvalue()
    sys.stdout = out
    print(json.dumps({"printed": bool(printed), "found": found}))
"""
# What JSON would turn into another value is no output (NaN, undefined, a function, a Map), nor is a
# text that came of such a value: the language coerces where Python raises.
_TRY_JAVASCRIPT = """
((name, tries, write, parse, stringify, finite) => {
  let printed = false;
  console.log = () => { printed = true; };
  const strict = (_, value) => {
    const type = typeof value;
    if (type === "function" || type === "symbol" || type === "undefined" || type === "bigint"
      || (type === "number" && !finite(value)) || value instanceof Map || value instanceof Set
      || value instanceof RegExp || value instanceof Promise
      || (type === "string" && /NaN|undefined|\\[object |=>|function/.test(value)))
      throw new TypeError();
    return value;
  };
  const found = [];
  tries.forEach((args, number) => {
    try {
      found.push(`"${number}": ${stringify(name(...parse(stringify(args))), strict)}`);
    } catch {}
  });
  write(`{"printed": ${printed}, "found": {${found.join(", ")}}}`);
})"""


def prove(rows: Sequence[Row], execution: Execution) -> list[str | None]:
    """Give rows their entry point, tests and reference; return why not, for each that gets none.

    Args:
        rows: mined functions with id, language, name, arguments, docstring and code; changed in
            place.
        execution: how programs are run.

    Raises:
        InputError: the sandbox lacks a layer.
    """
    tries = [inputs.guesses(_signature(row), row["id"]) for row in rows]
    programs = [_program(row, tried) for row, tried in zip(rows, tries, strict=True)]
    first, second = (
        execution.run(
            [
                _case(row, each, execution, hash_seed=seed)
                for row, each in zip(rows, programs, strict=True)
            ]
        )
        for seed in (0, 1)
    )
    reasons: list[str | None] = []
    for row, tried, *runs in zip(rows, tries, first, second, strict=True):
        tests, reason = _tests(tried, *(_outputs(run, len(tried)) for run in runs))
        if reason is None:
            row |= {"entry_point": row["name"], "tests": tests, "reference": row["code"]}
        reasons.append(reason)
    _try_faults(rows, reasons, execution)
    return reasons


def _case(
    row: Row,
    code: str,
    execution: Execution,
    **fields: Any,  # noqa: ANN401 - a case's
) -> sandbox.Case:
    """Return a program in a row's language that is tried, as a case."""
    limits = replace(execution.limits, cpu_s=min(_CPU_S, execution.limits.cpu_s))
    return sandbox.Case(row["language"], code, limits=limits, **fields)


def _signature(row: Row) -> inputs.Signature:
    if row["language"] == "python":
        return inputs.of_python(row["name"], row["code"], row["docstring"])
    texts = (row["name"], row["arguments"], row["code"], row["docstring"])
    return inputs_javascript.of_javascript(*texts)


def _program(row: Row, tried: list[inputs.Args]) -> str:
    if row["language"] == "javascript":
        host = "console.log, JSON.parse, JSON.stringify, Number.isFinite"
        call = f"({row['name']}, {json.dumps(tried)}, {host})"
        return f"{row['code']}\n;{_TRY_JAVASCRIPT}{call};\n"
    return f"{row['code']}\n{_TRY}\n_try({row['name']}, json.loads({json.dumps(tried)!r}))\n"


def _outputs(run: sandbox.RunResult, num_tries: int) -> Outputs | str:
    """Return outputs by the number of the try, or why there are none.

    A program may print what it likes in this form: `curate` runs the tests that come of it.
    """
    if run.exit_code == 124:
        return "timeout"
    try:
        said = json.loads(run.stdout.splitlines()[-1])
        found, printed = said["found"], bool(said["printed"])
        is_ours = found.keys() <= set(map(str, range(num_tries)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "does_not_run"
    return "prints" if printed or not is_ours else found


def _tests(
    tried: list[inputs.Args], first: Outputs | str, second: Outputs | str
) -> tuple[list[dict[str, Any]], str | None]:
    """Return tests that both runs agree on, each with an output of its own first; or why not."""
    if isinstance(first, str):
        return [], first
    if isinstance(second, str) or first.keys() != second.keys():
        return [], "not_repeatable"
    if any(json.dumps(first[key]) != json.dumps(second[key]) for key in first):
        return [], "not_repeatable"
    if not first:
        return [], "no_inputs"
    alike: dict[str, list[dict[str, Any]]] = {}  # tests whose arguments are of the same types
    for key, value in first.items():
        test = {"args": tried[int(key)], "expected": value}
        if inputs.is_plain(value) and len(json.dumps(test)) <= _MAX_TEXT:
            types = "/".join(type(arg).__name__ for arg in test["args"])
            alike.setdefault(types, []).append(test)
    ranked = max(map(_distinct_first, alike.values()), key=lambda found: found[0], default=(0, []))
    if ranked[0] < 2:
        return [], "one_output"
    chosen = ranked[1][:MAX_TESTS]
    return (chosen, None) if len(chosen) >= MIN_TESTS else ([], "few_tests")


def _distinct_first(tests: list[dict[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of different outputs, and the tests with one of each at the front."""
    firsts: dict[str, dict[str, Any]] = {}
    rest = []
    for test in tests:
        key = json.dumps(test["expected"], sort_keys=True)
        if key in firsts:
            rest.append(test)
        else:
            firsts[key] = test
    return len(firsts), [*firsts.values(), *rest]


def _try_faults(rows: Sequence[Row], reasons: list[str | None], execution: Execution) -> None:
    """State as the reason of a row that its tests do not notice enough faults."""
    cases, owners = [], []
    for number, row in enumerate(rows):
        if reasons[number] is not None:
            continue
        for code in mutants.mutants(row["code"], _MUTANTS, row["id"], row["language"]):
            owners.append(number)
            fields = {"tests": row["tests"], "entry_point": row["name"]}
            cases.append(_case(row, code, execution, **fields))
    noticed: dict[int, list[bool]] = {n: [] for n, reason in enumerate(reasons) if reason is None}
    for number, run in zip(owners, execution.run(cases), strict=True):
        noticed[number].append(not run.ok)
    for number, found in noticed.items():
        if not found or sum(found) < _MIN_NOTICED * len(found):
            reasons[number] = "weak_tests"
