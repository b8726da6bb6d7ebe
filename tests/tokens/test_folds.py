"""Rows of one family are in one fold, whoever asks; a checkpoint says which folds it learnt."""

import numpy as np
import pytest
from potstill import katas, splits
from potstill.errors import InputError
from potstill.tokens import examples, folds, table

from tests.tokens.conftest import ROWS, in_memory


def test_the_fold_of_a_group_is_the_same_for_ever():
    """Were it another, a teacher from the cache would score rows that it learnt."""
    assert [folds.fold_of(f"family{n}") for n in range(6)] == [1, 0, 1, 1, 0, 0]
    assert folds.fold_of("ä \ud800") in folds.FOLDS


def test_of_each_level_both_folds_have_as_many_kata_families():
    """The 140 first differ by one at most; with those that are added it may become a tenth."""
    train = [f for f in katas.FAMILIES if splits.split(f.name) == "train"]
    for level in {family.level for family in train}:
        ours = [folds.fold_of(family.name) for family in train if family.level == level]
        assert abs(2 * sum(ours) - len(ours)) <= max(1, 0.1 * len(ours)), level


def test_folds_are_of_about_one_size():
    counts = np.bincount([folds.fold_of(f"group {n}") for n in range(10_000)])
    assert len(counts) == 2
    assert abs(counts[0] - 5_000) < 5 * 50  # five standard deviations


def test_a_tables_folds_are_those_of_its_groups(path, chat):
    rows, plain = table.open(path, chat), in_memory(chat)
    assert len({row["group"] for row in ROWS}) > 2
    assert rows.folds.tolist() == [folds.fold_of(row.group) for row in plain]
    assert examples.folds(plain).tolist() == examples.folds(rows).tolist()
    assert rows[30:50].folds.tolist() == rows.folds.tolist()[30:50]


def test_the_folds_part_the_rows_in_their_order(path, chat):
    rows = table.open(path, chat)
    parts = [rows.of_folds([fold]) for fold in folds.FOLDS]
    for fold, part in zip(folds.FOLDS, parts, strict=True):
        assert list(part) == [row for row in rows if folds.fold_of(row.group) == fold]
    assert not {row.group for row in parts[0]} & {row.group for row in parts[1]}
    assert sum(map(len, parts)) == len(rows)
    assert list(rows.of_folds([1, 0])) == list(rows)


@pytest.mark.parametrize("most", [1, 3, 10_000])
def test_the_first_rows_of_each_fold_hold_the_first_rows_of_any_choice(path, chat, most):
    rows = table.open(path, chat)
    taken = {row.key for row in rows.of_folds([0, 1], most)}
    for wanted in ([0], [1], [0, 1]):
        assert {row.key for row in rows.of_folds(wanted)[:most]} <= taken


def test_a_fold_without_rows_is_refused(path, chat):
    rows = table.open(path, chat)
    with pytest.raises(InputError, match=r"no row is of the folds \[1\]: name others"):
        rows.of_folds([0]).of_folds([1])


def test_what_was_learnt_is_told_and_of_a_fetched_checkpoint_nothing(tmp_path):
    assert folds.trained_on(tmp_path) == []
    folds.record(tmp_path, [1, 0, 1])
    assert folds.trained_on(tmp_path) == [0, 1]
