"""Tasks drawn by weight."""

import json

import pytest
from potstill import files
from potstill.errors import InputError
from potstill.sampling import draw

TASKS = [{"id": f"t{number}"} for number in range(400)]


def ids(rows):
    return [row["id"] for row in rows]


def test_equal_weights_keep_the_order_of_the_hashes():
    plain = sorted(TASKS, key=lambda row: files.row_id("3", row["id"]))
    assert draw.in_order(TASKS, {}, 3) == plain
    assert draw.in_order(TASKS, dict.fromkeys(ids(TASKS), 2.5), 3) == plain


def test_the_order_of_the_input_does_not_matter():
    weights = {"t7": 3.0}
    assert draw.in_order(TASKS[::-1], weights, 0) == draw.in_order(TASKS, weights, 0)


def test_shares_follow_the_weights():
    heavy = {row["id"]: 4.0 for row in TASKS[:100]}
    taken = sum(
        sum(name in heavy for name in ids(draw.in_order(TASKS, heavy, seed)[:20]))
        for seed in range(200)
    )
    # 100 tasks of weight 4 and 300 of 1: 4 in 7 of the first draws, a little less of later ones
    assert 0.53 < taken / (200 * 20) < 0.59


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"weights": {"a": 0}}', '{"weights": {"a": "1"}}', '{"weights": 3}',
                '{"weights": {"a": NaN}}', '{"weights": {"a": true}}'],
)  # fmt: skip
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "round.json"
    path.write_text(content)
    with pytest.raises(InputError, match="potstill round"):
        draw.read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"round\.json is missing"):
        draw.read(tmp_path / "round.json")


def test_weights_are_read_back(tmp_path):
    path = tmp_path / "round.json"
    path.write_text(json.dumps({"weights": {"a": 1.5}}))
    assert draw.read(path) == {"a": 1.5}
