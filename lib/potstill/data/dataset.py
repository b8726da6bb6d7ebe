"""Mix the four formats into the chat rows of three splits that share no family and no module."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from potstill import files, splits
from potstill.errors import InputError
from potstill.models import formats
from potstill.models.chat import Message
from potstill.splits import Split
from potstill.tokens.folds import fold_of

Row = dict[str, Any]
Side = Literal["chosen", "rejected"]  # of a pair of answers
FAILED = ("tests_failed", "timeout")  # why curation rejects what it executed


@dataclass(frozen=True)
class Recipe:
    """How the rows are mixed.

    Attributes:
        max_train_rows: rows of the training split.
        max_validation_rows: rows of the validation split.
        max_test_rows: rows of the test split.
        shares: of plan, code, reflect and decompose rows.
        plan_in_prompt: share of code rows whose prompt shows the plan.
        mined_share: of code rows come from mined functions.
        seed: of every draw.
    """

    max_train_rows: int
    max_validation_rows: int
    max_test_rows: int
    shares: dict[str, float]
    plan_in_prompt: float
    mined_share: float
    seed: int


def _chat(row: Row, name: formats.Format | Side, prompt: list[Message], answer: str) -> Row:
    return {
        "id": files.row_id(name, row["id"], answer),
        "format": name,
        "language": row["language"],
        "group": row["group"],
        "origin": row["origin"],
        "licence": row["licence"],
        "messages": formats.answered(prompt, answer),
    }


def code_rows(rows: Iterable[Row], plan_share: float, source: random.Random) -> list[Row]:
    """Return code rows; a share of those that have a plan show it in the prompt."""
    found = []
    for row in rows:
        plan = row["plan"] if row["plan"] and source.random() < plan_share else []
        prompt = formats.code_prompt(row["task"], row["language"], plan)
        found.append(_chat(row, "code", prompt, row["code"]))
    return found


def plan_rows(rows: Iterable[Row]) -> list[Row]:
    """Return plan rows, one for each task that has a plan."""
    planned = {row["task"]: row for row in rows if row["plan"]}
    return [
        _chat(row, "plan", formats.plan_prompt(task), formats.numbered(row["plan"]))
        for task, row in planned.items()
    ]


def reflect_rows(rows: Iterable[Row]) -> list[Row]:
    """Return reflect rows: broken code and its error in, code that passes out."""
    return [
        _chat(
            row,
            "reflect",
            formats.reflect_prompt(row["task"], row["code"], row["error"], row["language"]),
            row["fix"],
        )
        for row in rows
    ]


def decompose_rows(rows: Iterable[Row], count: int, source: random.Random) -> list[Row]:
    """Return decompose rows: two or three tasks of one language joined into one request.

    All are of one fold, so that what a teacher learns of a family is nowhere in the other fold.
    """
    pools: dict[tuple[int, str], list[Row]] = {}
    for row in {row["task"]: row for row in rows if row["plan"]}.values():
        pools.setdefault((fold_of(row["group"]), row["language"]), []).append(row)
    found = []
    for number in range(count if pools else 0):
        place = sorted(pools)[number % len(pools)]
        pool, language = pools[place], place[1]
        chosen = source.sample(pool, min(len(pool), source.choice((2, 3))))
        request = " Then: ".join(row["task"] for row in chosen)
        answer = formats.subtasks([row["task"] for row in chosen], language)
        found.append(_chat(chosen[0], "decompose", formats.decompose_prompt(request), answer))
    return found


def pair_rows(accepted: Iterable[Row], rejected: Iterable[Row]) -> list[Row]:
    """Return rows of two answers to one prompt: `chosen` passed its tests, `rejected` failed them.

    One of format "chosen" stands before those of format "rejected" to the same prompt, of which
    there may be several. It is the teacher's answer where one passed, else the reference: the
    nearer it is to what a student says, the less is learnt of style.

    Args:
        accepted: rows whose code passed, where they have tests; mined functions have no others.
        rejected: rows with the reason, of which those count that were executed and failed.
    """
    passed: dict[tuple[str, str], Row] = {}
    for row in sorted(accepted, key=lambda row: (row["origin"] != "teacher", row["id"])):
        if row.get("tests") and row["origin"] != "mined":
            passed.setdefault((row["language"], row["task"]), row)
    found: dict[str, Row] = {}
    failed = [row for row in rejected if row["reason"] in FAILED]
    for row in sorted(failed, key=lambda row: row["id"]):
        best = passed.get((row["language"], row["task"]))
        if best is None:
            continue
        prompt = formats.code_prompt(row["task"], row["language"])
        sides: list[tuple[Side, Row]] = [("chosen", best), ("rejected", row)]
        for name, one in sides:
            made = _chat(one, name, prompt, one["code"])
            found.setdefault(made["id"], made)
    return list(found.values())


def mix(parts: dict[str, list[Row]], shares: dict[str, float], most: int, seed: int) -> list[Row]:
    """Draw rows by format in the wanted shares and shuffle them; a short format gives all it has.

    Raises:
        InputError: an unknown format, or nothing to draw.
    """
    unknown = set(shares) - set(parts)
    if unknown:
        raise InputError(
            f"build_dataset.shares has {', '.join(sorted(unknown))}; allowed: {', '.join(parts)}"
        )
    source = random.Random(seed)
    chosen = []
    for name in sorted(shares):
        rows = sorted(parts[name], key=lambda row: row["id"])
        source.shuffle(rows)
        chosen += rows[: round(most * shares[name])]
    if not chosen:
        raise InputError("build_dataset: a split has no rows: every candidate was rejected")
    source.shuffle(chosen)
    return chosen


def build(
    *, accepted: list[Row], broken: list[Row], tasks: dict[Split, list[Row]], recipe: Recipe
) -> dict[Split, list[Row]]:
    """Return the rows of each split.

    Args:
        accepted: curated rows of training families and of mined modules.
        broken: code with its real error and a fix; for training.
        tasks: task rows of "validation" and "test"; their references are the answers.
        recipe: sizes and shares.

    Raises:
        InputError: a family is of another split, or a split would have no rows.
    """
    known: dict[Split, list[Row]] = {
        "train": [row for row in accepted if row["origin"] != "mined"],
        "validation": _solved(tasks["validation"]),
        "test": _solved(tasks["test"]),
    }
    for name, rows in known.items():
        wrong = sorted({row["group"] for row in rows if splits.split(row["group"]) != name})
        if wrong:
            raise InputError(
                f"build_dataset: {', '.join(wrong[:5])} would be in {name} and is of another "
                "split: run collect_prompts and curate again"
            )
    library: dict[Split, list[Row]] = {name: [] for name in splits.SPLITS}
    for row in accepted:
        if row["origin"] == "mined":
            library[splits.split(row["group"])].append(row)
    most = {
        "train": recipe.max_train_rows,
        "validation": recipe.max_validation_rows,
        "test": recipe.max_test_rows,
    }
    return {
        name: _rows(
            known[name], library[name], broken if name == "train" else [], most[name], recipe
        )
        for name in splits.SPLITS
    }


def _solved(tasks: list[Row]) -> list[Row]:
    """Return the tasks that have a reference, with it as the answer."""
    origin: formats.Origin = "reference"
    return [
        {**task, "group": task["family"], "origin": origin, "code": task["reference"]}
        for task in tasks
        if task["reference"]
    ]


def _rows(
    known: list[Row], library: list[Row], broken: list[Row], most: int, recipe: Recipe
) -> list[Row]:
    source = random.Random(recipe.seed)
    code = round(most * recipe.shares.get("code", 0))
    ranked = sorted(library, key=lambda row: row["id"])[: round(code * recipe.mined_share)]
    known = sorted(known, key=lambda row: row["id"])
    source.shuffle(known)
    parts = {
        "plan": plan_rows(known),
        "code": code_rows([*known[: code - len(ranked)], *ranked], recipe.plan_in_prompt, source),
        "reflect": reflect_rows(broken),
        "decompose": decompose_rows(known, most, source),
    }
    return mix(parts, recipe.shares, most, recipe.seed)
