"""Mix the formats into the chat rows of three splits that share no family and no module."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field

from potstill import splits
from potstill.data import agent, completion, tool_formats, tools
from potstill.data.rows import Part, Row, chat, fence, weigh
from potstill.data.sources import Sources
from potstill.data.tool_formats import ToolFormat
from potstill.errors import InputError
from potstill.models import division, formats
from potstill.models.formats import Format
from potstill.params import Section
from potstill.splits import Split
from potstill.tokens.folds import fold_of

Mined = Literal["python", "javascript"]  # languages of mined functions


class Recipe(Section):
    """Settings of `build_dataset`: how the rows are mixed."""

    max_train_rows: Annotated[int, Field(ge=1)]
    max_validation_rows: Annotated[int, Field(ge=1)]
    max_test_rows: Annotated[int, Field(ge=1)]
    shares: dict[Format, float]  # of the rows of each format
    share_tolerance: Annotated[float, Field(gt=0, le=1)]  # by which they may miss it; see `audit`
    span_weights: dict[Part, float]  # of the loss; 1 if not named
    call_share: Annotated[float, Field(ge=0, le=1)]  # of tool rows: those that call one
    tool_format: ToolFormat  # how calls are written
    fenced: bool  # code in answers stands in a Markdown block
    plan_in_prompt: Annotated[float, Field(ge=0, le=1)]  # share of code rows that show the plan
    mined_share: Annotated[float, Field(ge=0, le=1)]  # of code rows
    teacher_share: Annotated[float, Field(ge=0, le=1)]  # of code rows, where it has so many answers
    mined_languages: dict[Mined, float]  # shares of the mined rows
    seed: int  # of every draw


def code_rows(rows: Iterable[Row], plan_share: float, source: random.Random) -> list[Row]:
    """Return code rows; a share of those that have a plan show it in the prompt."""
    found = []
    for row in rows:
        plan = row["plan"] if row["plan"] and source.random() < plan_share else []
        prompt = formats.code_prompt(row["task"], row["language"], plan)
        found.append(chat(row, "code", prompt, row["code"]))
    return found


def plan_rows(rows: Iterable[Row]) -> list[Row]:
    """Return plan rows, one for each task that has a plan."""
    planned = {row["task"]: row for row in rows if row["plan"]}
    return [
        chat(
            {**row, "origin": "reference"},
            "plan",
            formats.plan_prompt(task),
            formats.numbered(row["plan"]),
        )
        for task, row in planned.items()
    ]


def reflect_rows(rows: Iterable[Row]) -> list[Row]:
    """Return reflect rows: broken code and its error in, code that passes out."""
    return [
        chat(
            row,
            "reflect",
            formats.reflect_prompt(row["task"], row["code"], row["error"], row["language"]),
            row["fix"],
        )
        for row in rows
    ]


def decompose_rows(rows: Iterable[Row], count: int, source: random.Random) -> list[Row]:
    """Return decompose rows: two or three tasks of one language, divided by their plans.

    All are of one fold, so that what a teacher learns of a family is nowhere in the other fold.
    """
    pools: dict[tuple[int, str], list[Row]] = {}
    for row in {row["task"]: row for row in rows if division.part(row)}.values():
        pools.setdefault((fold_of(row["group"]), row["language"]), []).append(row)
    found = []
    for number in range(count if pools else 0):
        place = sorted(pools)[number % len(pools)]
        pool = pools[place]
        chosen = source.sample(pool, min(len(pool), source.choice((2, 3))))
        prompt = formats.decompose_prompt(division.request(chosen))
        row = {**chosen[0], "origin": "reference"}
        found.append(chat(row, "decompose", prompt, division.answer(chosen)))
    return found


def mix(
    parts: dict[str, list[Row]], shares: Mapping[Format, float], most: int, seed: int
) -> list[Row]:
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


def build(sources: Sources, recipe: Recipe) -> dict[Split, list[Row]]:
    """Return the rows of each split.

    Raises:
        InputError: a family is of another split, or a split would have no rows.
    """
    known: dict[Split, list[Row]] = {
        "train": [row for row in sources.accepted if row["origin"] != "mined"],
        "validation": _solved(sources.tasks["validation"]),
        "test": _solved(sources.tasks["test"]),
    }
    for name, rows in known.items():
        wrong = sorted({row["group"] for row in rows if splits.split(row["group"]) != name})
        if wrong:
            raise InputError(
                f"build_dataset: {', '.join(wrong[:5])} would be in {name} and is of another "
                "split: run collect_prompts and curate again"
            )
    library: dict[Split, list[Row]] = {name: [] for name in splits.SPLITS}
    # a function that a teacher wrote too has the teacher's code
    written = {_asks(row) for row in sources.accepted if row["origin"] == "teacher"}
    for row in sources.accepted:
        if row["origin"] == "mined" and _asks(row) not in written:
            library[splits.split(row["group"])].append(row)
    most = {
        "train": recipe.max_train_rows,
        "validation": recipe.max_validation_rows,
        "test": recipe.max_test_rows,
    }
    asked: dict[Split, list[Row]] = {name: [] for name in splits.SPLITS}
    for row in sources.tool_rows:
        asked[splits.split(row["group"])].append(row)
    return {
        name: _rows(
            known[name],
            library[name],
            sources.broken if name == "train" else [],
            _tool_rows(asked[name], most[name], recipe),
            most=most[name],
            recipe=recipe,
        )
        for name in splits.SPLITS
    }


def _tool_rows(rows: list[Row], most: int, recipe: Recipe) -> list[Row]:
    """Draw rows that call a tool and rows that do not in their shares, and write their calls."""
    count = round(most * recipe.shares.get("tool", 0))
    ranked = sorted(rows, key=lambda row: row["id"])
    call = [row for row in ranked if tools.calls(row)][: round(count * recipe.call_share)]
    direct = [row for row in ranked if not tools.calls(row)][: count - len(call)]
    parts = {k: w for k, w in recipe.span_weights.items() if k in tools.PARTS}
    return [
        tool_formats.from_native(tools.weigh(row, parts), recipe.tool_format)
        for row in [*call, *direct]
    ]


def _solved(tasks: list[Row]) -> list[Row]:
    """Return the tasks that have a reference, with it as the answer."""
    origin: formats.Origin = "reference"
    return [
        {**task, "group": task["family"], "origin": origin, "code": task["reference"]}
        for task in tasks
        if task["reference"]
    ]


def _asks(row: Row) -> tuple[str, str]:
    """Return what rows of one task share."""
    return row["language"], row["task"]


def _spread(rows: list[Row]) -> list[Row]:
    """Return one row of each group, then a second of those that have one, and so on."""
    taken: Counter[str] = Counter()
    turns = []
    for row in rows:
        turns.append(taken[row["group"]])
        taken[row["group"]] += 1
    return [rows[place] for place in sorted(range(len(rows)), key=turns.__getitem__)]


def _by_language(rows: list[Row], count: float, shares: Mapping[Mined, float]) -> list[Row]:
    """Return up to so many rows in the shares of their languages, by the order of their ids."""
    found: list[Row] = []
    for language, share in sorted(shares.items()):
        mine = sorted((r for r in rows if r["language"] == language), key=lambda row: row["id"])
        found += mine[: round(count * share)]
    return sorted(found, key=lambda row: row["id"])


def _rows(
    known: list[Row],
    library: list[Row],
    broken: list[Row],
    tool_rows: list[Row],
    *,
    most: int,
    recipe: Recipe,
) -> list[Row]:
    source = random.Random(recipe.seed)
    code = round(most * recipe.shares.get("code", 0))
    ranked = _by_language(library, code * recipe.mined_share, recipe.mined_languages)
    known = sorted(known, key=lambda row: row["id"])
    source.shuffle(known)
    answers = _spread([row for row in known if row["origin"] == "teacher"])
    answers = answers[: min(round(code * recipe.teacher_share), code - len(ranked))]
    asked = set(map(_asks, answers))
    others = [row for row in known if row["origin"] != "teacher" and _asks(row) not in asked]
    chosen = [*answers, *others[: code - len(ranked) - len(answers)], *ranked]
    parts = {
        "plan": plan_rows(known),
        "code": code_rows(chosen, recipe.plan_in_prompt, source),
        "complete": completion.completion_rows(chosen),
        "reflect": reflect_rows(broken),
        "decompose": decompose_rows(known, most, source),
        "critique": agent.critique_rows(known, broken),
        "describe": agent.describe_rows(chosen or known),
        "episode": agent.episode_rows(known, broken, recipe.span_weights),
        "tool": tool_rows,
    }
    mixed = mix(parts, recipe.shares, most, recipe.seed)
    return weigh(fence(mixed) if recipe.fenced else mixed, recipe.span_weights)
