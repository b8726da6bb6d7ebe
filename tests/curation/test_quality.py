"""Each part of the score moves with what it is about, and with nothing else."""

import pytest
from potstill.curation import quality

GOOD = {
    "task": "Write a function that counts the vowels of a text and returns how many there are.",
    "code": (
        "def count_vowels(text: str) -> int:\n    total = 0\n    for sign in text:\n"
        "        if sign in 'aeiou':\n            total += 1\n    return total"
    ),
    "tests": [{"args": [text], "expected": n} for text, n in (("a", 1), ("b", 0), ("aa", 2))],
}
WORSE = {
    "documented": {"task": "Count vowels."},
    "typed": {"code": GOOD["code"].replace(": str", "").replace(" -> int", "")},
    "length": {"code": GOOD["code"] + "\n    total += 1" * 90},
    "complexity": {"code": GOOD["code"] + "\n    if total: return 1" * 22},
    "tests": {"tests": GOOD["tests"][:1]},
    "names": {"code": GOOD["code"].replace("total", "tt").replace("sign", "zz")},
}


def test_a_good_row_has_all_parts():
    assert quality.parts(GOOD) == dict.fromkeys(quality.PARTS, 1.0)
    assert quality.score(quality.parts(GOOD)) == 1.0


@pytest.mark.parametrize("part", quality.PARTS)
def test_a_part_falls_with_its_fault(part):
    found = quality.parts(GOOD | WORSE[part])
    assert found[part] < 1.0
    assert 0.0 <= quality.score(found) < 1.0


@pytest.mark.parametrize("part", ["documented", "typed", "tests", "names"])
def test_no_other_part_falls_with_it(part):
    found = quality.parts(GOOD | WORSE[part])
    assert {name for name, value in found.items() if value < 1.0} == {part}


def test_javascript_types_stand_in_a_comment():
    code = "/** @param {string} text */\nfunction f(text) {\n  return text.length;\n}"
    assert quality.parts({"task": "x", "code": code})["typed"] == 1.0


def test_an_empty_row_has_a_score_too():
    assert 0.0 <= quality.score(quality.parts({"task": "", "code": ""})) < 0.5
