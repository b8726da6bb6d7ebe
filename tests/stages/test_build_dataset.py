"""The dataset: formats in their shares, and splits that share nothing."""

import itertools

import pytest
from potstill import files, splits
from potstill.errors import InputError

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
        "task": f"Task {number} {origin} of {group}.",
        "plan": [f"Do {number}."] if origin == "reference" else [],
        "code": f"x = {number}",
        "entry_point": f"f{number}",
        "reference": f"def f{number}(): pass",
    }


def build(folder, test_families=None, **changes):
    """Return the metrics and the rows of each split."""
    (folder / "c").mkdir(parents=True)
    (folder / "p").mkdir()
    kept = [row(n, "reference", name) for name in named("train", 9) for n in range(4)]
    kept += [row(n, "mined", f"module{n % 40}") for n in range(80)]
    files.write_jsonl(folder / "c/accepted.jsonl", kept)
    broken = [{**r, "error": "NameError: y", "fix": "x = 0"} for r in kept[:8]]
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
