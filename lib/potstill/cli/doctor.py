"""`potstill doctor`: what would spoil the trainings of this pipeline, before their first hour."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from potstill import params
from potstill.errors import InputError

ILL = 1
MARKS = {"pass": "ok", "fail": "FAIL", "not-run": "--"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "students",
        nargs="*",
        metavar="STUDENT",
        help="names in `students` and `on_policy`; all that are trained",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a finding")


def main(args: argparse.Namespace) -> int:
    """Look at each student; return 0 where nothing fails, 1 where something does.

    Raises:
        InputError: no such student, or what it begins with is not there.
    """
    tree = params.read_params()
    worst = 0
    for name in _names(args.students, tree):
        started, bad = time.perf_counter(), 0
        if not args.json:
            sys.stdout.write(f"{name}\n")
        for finding in _look(name, tree):
            bad += finding.verdict == "fail"
            sys.stdout.write(_json(name, finding) if args.json else _text(finding))
            sys.stdout.flush()
        if not args.json:
            seconds = time.perf_counter() - started
            said = f"{bad} to mend" if bad else "nothing to mend"
            sys.stdout.write(f"  {said}, {seconds:.0f} s\n")
        worst = ILL if bad else worst
    return worst


def _names(wanted: list[str], tree: dict[str, Any]) -> list[str]:
    students = {**params.section(tree, "students"), **params.section(tree, "on_policy")}
    for name in wanted:
        if name not in students:
            raise InputError(
                f"params.yaml has no student {name!r}; {params.closest(name, students)}"
            )
    return wanted or [name for name, one in students.items() if one.get("steps", 1)]


def _look(name: str, tree: dict[str, Any]) -> Iterator[Any]:
    if name in params.section(tree, "on_policy"):
        yield from _look_at_answers(name, tree)
        return
    from potstill.distill.recipe import Recipe
    from potstill.doctor import look

    recipe = params.build(Recipe, tree, "training", f"students.{name}")
    places = {
        "start": Path("models/starts") / recipe.start,
        "tokens": Path("data/tokens"),
        "signal": Path("data") / recipe.signal,
    }
    _require(places)
    with tempfile.TemporaryDirectory() as scratch:
        yield from look.look(name, recipe, **places, scratch=Path(scratch))


def _look_at_answers(name: str, tree: dict[str, Any]) -> Iterator[Any]:
    from potstill.doctor import answers
    from potstill.doctor.finding import Finding
    from potstill.rollouts.recipe import OnPolicy

    recipe = params.build(OnPolicy, tree, "training", "rollouts", f"on_policy.{name}")
    places = {
        "start": Path("models") / recipe.model,
        "signal": Path("data") / recipe.signal,
        "curated": Path("data/curated"),
        "tokens": Path("data/tokens"),
        "vocabulary": Path("data/vocabulary"),
    }
    if not places["start"].exists():
        words = f"{places['start']} is not there yet: ask again once it is trained"
        yield Finding("start", "not-run", words)
        return
    _require(places)
    with tempfile.TemporaryDirectory() as scratch:
        yield from answers.look(name, recipe, **places, scratch=Path(scratch))


def _require(places: Mapping[str, Path]) -> None:
    for path in places.values():
        if not path.exists():
            raise InputError(f"{path} is missing: run `dvc repro` up to it, or `dvc pull {path}`")


def _text(finding: Any) -> str:  # noqa: ANN401 - a Finding, whose module is imported late
    return f"  {MARKS[finding.verdict]:4} {finding.name:11} {finding.words}\n"


def _json(name: str, finding: Any) -> str:  # noqa: ANN401
    import dataclasses
    import json

    return json.dumps({"student": name, **dataclasses.asdict(finding)}) + "\n"
