"""Mix the four formats into training and held-out chat rows that share no family and no module."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from potstill import files
from potstill.errors import InputError
from potstill.models import formats
from potstill.models.chat import Message

Row = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How the rows are mixed.

    Attributes:
        max_train_rows: rows of the training split.
        max_heldout_rows: rows of the held-out split.
        shares: of plan, code, reflect and decompose rows.
        plan_in_prompt: share of code rows whose prompt shows the plan.
        mined_share: of code rows come from mined functions.
        heldout_modules: share of mined modules kept for the held-out split.
        seed: of every draw.
    """

    max_train_rows: int
    max_heldout_rows: int
    shares: dict[str, float]
    plan_in_prompt: float
    mined_share: float
    heldout_modules: float
    seed: int


def _chat(row: Row, name: str, prompt: list[Message], answer: str) -> Row:
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
    """Return decompose rows: two or three tasks of one language joined into one request."""
    by_language: dict[str, list[Row]] = {}
    for row in {row["task"]: row for row in rows if row["plan"]}.values():
        by_language.setdefault(row["language"], []).append(row)
    found = []
    for number in range(count if by_language else 0):
        language = sorted(by_language)[number % len(by_language)]
        pool = by_language[language]
        chosen = source.sample(pool, min(len(pool), source.choice((2, 3))))
        request = " Then: ".join(row["task"] for row in chosen)
        answer = formats.subtasks([row["task"] for row in chosen], language)
        found.append(_chat(chosen[0], "decompose", formats.decompose_prompt(request), answer))
    return found


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
        raise InputError("build_dataset: no rows to train on: every candidate was rejected")
    source.shuffle(chosen)
    return chosen


def build(
    *, accepted: list[Row], broken: list[Row], heldout_tasks: list[Row], recipe: Recipe
) -> dict[str, list[Row]]:
    """Return the rows of "train" and "heldout".

    Args:
        accepted: curated rows of training families and of mined modules.
        broken: code with its real error and a fix; for training.
        heldout_tasks: task rows of held-out families; their references are the answers.
        recipe: sizes and shares.

    Raises:
        InputError: a group would be in both splits, or there is nothing to train on.
    """
    mined = [row for row in accepted if row["origin"] == "mined"]
    solved = [row for row in accepted if row["origin"] != "mined"]
    modules = sorted(
        {row["group"] for row in mined}, key=lambda m: files.row_id(str(recipe.seed), m)
    )
    away = set(modules[: round(len(modules) * recipe.heldout_modules)])
    tasks = [
        {**task, "group": task["family"], "origin": "reference", "code": task["reference"]}
        for task in heldout_tasks
        if task["reference"]
    ]
    splits = {
        "train": _split(
            solved, [r for r in mined if r["group"] not in away], broken,
            recipe.max_train_rows, recipe,
        ),
        "heldout": _split(
            tasks, [r for r in mined if r["group"] in away], [], recipe.max_heldout_rows, recipe
        ),
    }  # fmt: skip
    groups = [{row["group"] for row in rows} for rows in splits.values()]
    shared = sorted(groups[0] & groups[1])
    if shared:
        raise InputError(f"build_dataset: {', '.join(shared[:5])} would be in both splits")
    return splits


def _split(
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
