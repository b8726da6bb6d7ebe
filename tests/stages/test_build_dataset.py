"""The dataset: formats in their shares, and splits that share nothing."""

import itertools

import pytest
from potstill import files, splits
from potstill.data import dataset
from potstill.errors import InputError
from potstill.models import formats

from stages.build_dataset import Params, main

SETTINGS = {
    "max_train_rows": 40,
    "max_validation_rows": 8,
    "max_test_rows": 12,
    "shares": {"code": 0.7, "plan": 0.1, "reflect": 0.1, "decompose": 0.1},
    "plan_in_prompt": 0.5,
    "mined_share": 0.25,
    "seed": 0,
}


def named(split, count, prefix="family"):
    """Return the first `count` names of a split."""
    names = (f"{prefix}{n}" for n in itertools.count())
    return list(itertools.islice((n for n in names if splits.split(n) == split), count))


def row(number, origin, group):
    return {
        "id": f"{origin}{number}{group}",
        "origin": origin,
        "group": group,
        "family": group,
        "language": "python",
        "licence": "x",
        "task": f"Task {origin} {number} {group}.",
        "plan": ["Do it."] if origin == "reference" else [],
        "code": f"x = {number}",
        "reference": f"x = {number}",
        "tests": [{"args": [], "expected": number}],
    }


def build(folder, test_families=None, **changes):
    """Return the metrics and the rows of each split."""
    (folder / "c").mkdir(parents=True)
    (folder / "p").mkdir()
    kept = [row(n, "reference", name) for name in named("train", 9) for n in range(4)]
    kept += [row(n, "mined", f"module{n % 40}") for n in range(80)]
    kept[0]["tests"] = []
    files.write_jsonl(folder / "c/accepted.jsonl", kept)
    broken = [{**r, "error": "NameError: y", "fix": "x = 0"} for r in kept[:8]]
    reasons = ["tests_failed", "timeout", "duplicate"]
    failed = [wrong(r, f"x = y{n}", reasons[n % 3]) for n, r in enumerate(kept[:9])]
    files.write_jsonl(folder / "c/rejected.jsonl", failed)
    files.write_jsonl(folder / "c/reflect.jsonl", broken)
    families = {
        "validation": named("validation", 4),
        "test": test_families or named("test", 4),
    }
    for name, of_split in families.items():
        tasks = [row(n, "reference", family) for family in of_split for n in range(4)]
        files.write_jsonl(folder / f"p/{name}.jsonl", tasks)
    params = Params(**(SETTINGS | changes))
    metrics = main(params, curated=folder / "c", prompts=folder / "p", out=folder / "out")
    names = splits.SPLITS
    return metrics, {s: list(files.read_jsonl(folder / "out" / f"{s}.jsonl")) for s in names}


def test_every_family_and_every_module_is_in_its_split(tmp_path):
    metrics, rows = build(tmp_path)
    for name, found in rows.items():
        groups = {r["group"] for r in found}
        assert {splits.split(group) for group in groups} == {name}
        assert any(group.startswith("module") for group in groups)
        assert metrics[f"{name}_rows"] == len(found) <= SETTINGS[f"max_{name}_rows"]
    assert metrics["train_code"] == 28
    assert metrics["train_reflect"] == 4
    assert {r["format"] for r in rows["train"]} == {"code", "plan", "reflect", "decompose"}
    assert {r["format"] for r in rows["test"]} == {"code", "plan", "decompose"}


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    build(tmp_path / "a")
    build(tmp_path / "b")
    assert files.sha256_tree(tmp_path / "a/out") == files.sha256_tree(tmp_path / "b/out")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_family_that_leaks_stops_the_stage(tmp_path, split):
    (family,) = named(split, 1)
    with pytest.raises(InputError, match=f"{family} would be in test and is of another split"):
        build(tmp_path, test_families=[*named("test", 3), family])


def test_a_share_of_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="allowed: plan, code"):
        build(tmp_path, shares={"cod": 1.0})


def pairs_of(accepted, rejected):
    found = dataset.pair_rows(accepted, rejected)
    return found, [(r["format"], r["origin"], r["messages"][-1]["content"]) for r in found]


def wrong(task, code, reason="tests_failed", origin="slip"):
    return task | {"id": code, "code": code, "reason": reason, "origin": origin}


def test_pairs_are_answers_that_passed_and_failed_to_one_prompt(tmp_path):
    (family,) = named("train", 1)
    ran = [row(n, "reference", family) | {"tests": [{"args": [], "expected": n}]} for n in range(3)]
    ran[2]["tests"] = []  # never executed
    rejected = [
        wrong(ran[0], "x = z"),
        wrong(ran[0], "x = y", "timeout", "teacher"),
        wrong(ran[0], "import os", "subset_node"),  # not executed
        wrong(ran[2], "x"),
        wrong(row(9, "reference", family), "y"),  # of a prompt that nothing solved
    ]
    found, told = pairs_of(ran, rejected)
    assert told == [
        ("chosen", "reference", "x = 0"),
        ("rejected", "teacher", "x = y"),
        ("rejected", "slip", "x = z"),
    ]
    assert len({str(r["messages"][:-1]) for r in found}) == 1
    assert {r["group"] for r in found} == {family}
    assert found[0]["messages"][:-1] == formats.code_prompt(ran[0]["task"], "python")
    again = [*rejected[::-1], rejected[0]]
    assert pairs_of(ran, again)[0] == found


def test_what_is_chosen_is_the_teachers_where_it_passed_and_never_mined(tmp_path):
    (family,) = named("train", 1)
    tested = row(0, "reference", family) | {"tests": [{"args": [], "expected": 0}]}
    answer = tested | {"id": "t", "origin": "teacher", "code": "x = 0 + 0"}
    rejected = [wrong(tested, "x = y", origin="teacher")]
    for accepted in ([tested, answer], [answer, tested]):
        _, told = pairs_of(accepted, rejected)
        assert told == [("chosen", "teacher", "x = 0 + 0"), ("rejected", "teacher", "x = y")]
    assert pairs_of([tested | {"origin": "mined"}], rejected)[0] == []


def test_the_stage_writes_pairs_of_what_curation_says(tmp_path):
    metrics, _ = build(tmp_path)
    found = list(files.read_jsonl(tmp_path / "out/pairs.jsonl"))
    assert metrics["pairs"] == 5
    assert [r["format"] for r in found] == ["chosen", "rejected"] * 5
    assert {splits.split(r["group"]) for r in found} == {"train"}
