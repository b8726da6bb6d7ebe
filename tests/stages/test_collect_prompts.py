"""Families, not rows, are split; the user's own tasks come along."""

import itertools
import json

import pytest
from potstill import files, params, splits
from potstill.errors import InputError
from potstill.imports import ROOT

from stages.collect_prompts import Params, main

SETTINGS = {
    "train_per_family": [2, 2, 1, 1],
    "validation_per_family": [1, 1, 1, 1],
    "test_per_family": [3, 3, 1, 0],
    "languages": ["python", "javascript"],
    "sources": [],
    "seed": 0,
}


def collect(tmp_path, name="out", **changes):
    """Return the metrics and the rows of each split."""
    (tmp_path / "extra").mkdir(exist_ok=True)
    metrics = main(Params(**SETTINGS | changes), extra=tmp_path / "extra", out=tmp_path / name)
    rows = {s: list(files.read_jsonl(tmp_path / name / f"{s}.jsonl")) for s in splits.SPLITS}
    return metrics, rows


def families(rows):
    return {row["family"] for row in rows}


def test_no_family_is_in_two_splits(tmp_path):
    metrics, rows = collect(tmp_path)
    for one, other in itertools.combinations(rows.values(), 2):
        assert not families(one) & families(other)
    for name, found in rows.items():
        assert metrics[f"{name}_rows"] == len(found)
        assert metrics[f"{name}_families"] == len(families(found))
        assert {splits.split(family) for family in families(found)} == {name}
    for row in rows["train"][:50]:
        assert row["tests"]
        assert row["reference"]
    every = [row["id"] for found in rows.values() for row in found]
    assert len(set(every)) == len(every)


def test_a_level_gives_as_many_instances_as_its_split_says(tmp_path):
    _, rows = collect(tmp_path)
    for name, found in rows.items():
        for level, most in enumerate(SETTINGS[f"{name}_per_family"], 1):
            of_level = [row for row in found if row["level"] == level]
            assert len(of_level) == 2 * most * len(families(of_level))


def test_the_test_families_are_the_same_whatever_the_seed_and_the_other_splits_are(tmp_path):
    _, rows = collect(tmp_path, "a")
    other = {"seed": 1, "train_per_family": [1, 0, 0, 0], "languages": ["python"]}
    _, changed = collect(tmp_path, "b", **other)
    assert families(rows["test"]) == families(changed["test"])


def test_the_same_settings_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        collect(tmp_path, name)
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


def test_own_tasks_are_taken_and_the_name_of_their_file_moves_none(tmp_path):
    (tmp_path / "extra").mkdir()
    own = [{"task": f"Write f{n}().", "language": "python"} for n in range(20)]
    (tmp_path / "extra/mine.jsonl").write_text("\n".join(map(json.dumps, own)))
    _, rows = collect(tmp_path, "a")
    mine = {s: {r["task"] for r in found if r["source"] == "mine"} for s, found in rows.items()}
    assert set.union(*mine.values()) == {row["task"] for row in own}
    assert all(mine.values())
    (tmp_path / "extra/mine.jsonl").rename(tmp_path / "extra/renamed.jsonl")
    _, rows = collect(tmp_path, "b")
    for name, found in rows.items():
        assert {r["task"] for r in found if r["source"] == "renamed"} == mine[name]


@pytest.mark.parametrize("name", splits.SPLITS)
def test_a_split_without_tasks_stops_the_stage(tmp_path, name):
    with pytest.raises(InputError, match=f"no {name} tasks: raise {name}_per_family"):
        collect(tmp_path, **{f"{name}_per_family": [0, 0, 0, 0]})


def test_an_empty_file_stops_the_stage(tmp_path):
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra/mine.jsonl").touch()
    with pytest.raises(InputError, match="is empty"):
        collect(tmp_path)


@pytest.mark.parametrize("name", ["validation", "test"])
def test_the_default_run_has_all_the_katas_that_it_tries(tmp_path, name):
    tree = params.read_params(ROOT / "params.yaml")
    (tmp_path / "extra").mkdir()
    settings = params.build(Params, tree, "collect_prompts")
    main(settings, extra=tmp_path / "extra", out=tmp_path / "out")
    rows = files.read_jsonl(tmp_path / f"out/{name}.jsonl")
    wanted = max(export["tasks"].get("katas", 0) for export in tree["export"].values())
    assert sum(bool(row["tests"]) for row in rows) >= wanted


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder that `datasets` takes for the data set of its path, and the way to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "owner/problems").mkdir(parents=True)
    rows = [{"question": f"Write g{n}().", "answer": "x", "stars": n} for n in range(20)]
    files.write_jsonl(tmp_path / "owner/problems/train.jsonl", [*rows, {"question": ""}])
    return {
        "from": "hub:owner/problems@abc123",
        "columns": {"task": "question", "reference": "answer"},
        "constants": {"language": "python", "licence": "MIT"},
    }


def test_a_data_set_gives_tasks_by_its_columns_and_what_is_none_is_counted(tmp_path, hub):
    metrics, rows = collect(tmp_path, sources=[hub])
    found = [row for split in rows.values() for row in split if row["source"] == "owner/problems"]
    assert {row["task"] for row in found} == {f"Write g{n}()." for n in range(20)}
    assert all(row["licence"] == "MIT" and row["reference"] == "x" for row in found)
    assert metrics["rejected_not_a_task"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {"task": "prompt"}}, "has no column prompt; it has answer, question, stars"),
        ({"split": "dev"}, "hub:owner/problems@abc123 could not be read"),
        ({"constants": {"language": "rust"}}, "gives no task: .* 'rust'; allowed: python"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_named(tmp_path, hub, changes, message):
    with pytest.raises(InputError, match=message):
        collect(tmp_path, sources=[hub | changes])


def test_a_damaged_data_set_is_named(tmp_path, hub):
    (tmp_path / "owner/problems/train.jsonl").write_bytes(b'{"question": "a"}\n{"question": \xff')
    with pytest.raises(InputError, match="owner/problems@abc123 could not be read"):
        collect(tmp_path, sources=[hub])
