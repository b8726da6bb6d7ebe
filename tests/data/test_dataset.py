"""Mixing formats: shares, order and content of the rows."""

import random
import re
from collections import Counter

import pytest
from potstill.data import dataset
from potstill.errors import InputError
from potstill.tokens.folds import fold_of


def row(number, **changes):
    base = {
        "id": f"id{number}",
        "language": "python",
        "group": f"g{number}",
        "origin": "reference",
        "licence": "x",
        "task": f"Task {number}.",
        "plan": [f"do {number}"],
        "code": f"x = {number}",
        "entry_point": f"f{number}",
        "reference": f"def f{number}(): pass",
    }
    return base | changes


ROWS = [row(n, language=("python", "javascript")[n % 2]) for n in range(20)]


def test_code_rows_end_with_the_bare_code():
    rows = dataset.code_rows(ROWS, 0.5, random.Random(0))
    assert [r["messages"][-1]["content"] for r in rows] == [r["code"] for r in ROWS]
    planned = sum("Plan:" in r["messages"][1]["content"] for r in rows)
    assert 0 < planned < len(rows)


def test_reflect_rows_show_code_and_error_and_end_with_the_fix():
    (made,) = dataset.reflect_rows([row(1, error="NameError: x", fix="y = 1")])
    prompt = made["messages"][1]["content"]
    assert "x = 1" in prompt
    assert "NameError: x" in prompt
    assert made["messages"][-1]["content"] == "y = 1"


def test_decompose_rows_keep_to_one_language_and_one_fold():
    made = dataset.decompose_rows(ROWS, 6, random.Random(0))
    assert len(made) == 6
    assert {fold_of(item["group"]) for item in made} == {0, 1}
    for item in made:
        answer = item["messages"][-1]["content"]
        asked = re.findall(r"do (\d+)\.", answer)
        assert re.findall(r"Task (\d+)\.", item["messages"][1]["content"]) == asked
        assert {fold_of(f"g{number}") for number in asked} == {fold_of(item["group"])}
        assert answer.count(f'"language": "{item["language"]}"') == answer.count('"language"') >= 2


def test_shares_are_met_and_the_order_is_a_function_of_the_seed():
    parts = {"code": dataset.code_rows(ROWS, 0, random.Random(0)), "plan": dataset.plan_rows(ROWS)}
    rows = dataset.mix(parts, {"code": 0.75, "plan": 0.25}, 16, 3)
    assert Counter(r["format"] for r in rows) == {"code": 12, "plan": 4}
    assert rows == dataset.mix(parts, {"code": 0.75, "plan": 0.25}, 16, 3)
    assert rows != dataset.mix(parts, {"code": 0.75, "plan": 0.25}, 16, 4)


def test_an_unknown_format_and_an_empty_set_are_refused():
    with pytest.raises(InputError, match="allowed: code"):
        dataset.mix({"code": []}, {"cod": 1.0}, 4, 0)
    with pytest.raises(InputError, match="no rows"):
        dataset.mix({"code": []}, {"code": 1.0}, 4, 0)


def test_mined_rows_come_in_the_shares_of_their_languages():
    languages = ["python"] * 9 + ["javascript"] * 2
    rows = [{"id": str(n), "language": each} for n, each in enumerate(languages)]
    found = dataset._by_language(rows, 5, {"python": 0.6, "javascript": 0.4})
    assert [row["id"] for row in found] == ["0", "1", "10", "2", "9"]
    assert len(dataset._by_language(rows, 10, {"python": 0.6, "javascript": 0.4})) == 6 + 2
