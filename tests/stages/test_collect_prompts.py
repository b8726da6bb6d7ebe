"""Families, not rows, are split; the user's own tasks come along."""

import json

import pytest
from potstill import files
from potstill.errors import InputError

from stages.collect_prompts import Params, main

SETTINGS = {
    "train_per_family": [2, 2, 1, 1],
    "heldout_per_family": [3, 3, 1, 0],
    "heldout_share": 0.3,
    "languages": ["python", "javascript"],
    "seed": 0,
}


def read(folder, side):
    return list(files.read_jsonl(folder / f"{side}.jsonl"))


def test_no_family_is_in_both_splits(tmp_path):
    (tmp_path / "extra").mkdir()
    metrics = main(Params(**SETTINGS), extra=tmp_path / "extra", out=tmp_path / "out")
    train, held = (read(tmp_path / "out", side) for side in ("train", "heldout"))
    assert not {row["family"] for row in train} & {row["family"] for row in held}
    assert metrics["train_rows"] == len(train)
    assert metrics["train_families"] + metrics["heldout_families"] >= 60
    for row in train[:50]:
        assert row["tests"]
        assert row["reference"]
    assert len({row["id"] for row in train + held}) == len(train + held)


def test_the_same_settings_give_the_same_bytes(tmp_path):
    (tmp_path / "extra").mkdir()
    for name in ("a", "b"):
        main(Params(**SETTINGS), extra=tmp_path / "extra", out=tmp_path / name)
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


def test_own_tasks_are_taken(tmp_path):
    (tmp_path / "extra").mkdir()
    rows = [{"task": f"Write f{n}().", "language": "python"} for n in range(20)]
    (tmp_path / "extra/mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    main(Params(**SETTINGS), extra=tmp_path / "extra", out=tmp_path / "out")
    taken = [r for side in ("train", "heldout") for r in read(tmp_path / "out", side)]
    assert {r["task"] for r in taken} >= {r["task"] for r in rows}


def test_an_empty_file_stops_the_stage(tmp_path):
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra/mine.jsonl").touch()
    with pytest.raises(InputError, match="is empty"):
        main(Params(**SETTINGS), extra=tmp_path / "extra", out=tmp_path / "out")
