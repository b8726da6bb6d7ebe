"""Foreign requests are found, and English ones, however short and full of code, are not.

Not tested: requests that mix languages, and English other than that of tasks and docstrings.
"""

from pathlib import Path

import pytest
import yaml
from potstill import katas
from potstill.curation import wording
from potstill.errors import InputError
from potstill.tasks import TASKS, Where

FOREIGN = yaml.safe_load(Path(__file__).with_name("foreign_requests.yaml").read_text("utf-8"))


def test_foreign_requests_are_found():
    asked = [(language, text) for language, texts in FOREIGN.items() for text in texts]
    found = [text for _, text in asked if wording.foreign(text, ["en"])]
    assert len(asked) == 67
    assert len(found) >= 62


@pytest.mark.parametrize("language", FOREIGN)
def test_a_language_that_is_wanted_is_not_refused(language):
    passed = [not wording.foreign(text, ["en", language]) for text in FOREIGN[language]]
    assert sum(passed) >= len(passed) - 1
    named = [wording.language(text) for text in FOREIGN[language]]
    assert named.count(language) > len(named) / 2


def test_no_request_of_katas_or_humaneval_is_refused():
    asked = {row["task"] for row in katas.instances(0, 3, ["python", "javascript"])}
    asked |= {problem.request for problem in TASKS["humaneval"].problems(Where())}
    assert len(asked) > 1000
    assert [text for text in asked if wording.foreign(text, ["en"])] == []


@pytest.mark.parametrize(
    "text",
    [
        "Write a function legendre(x, y). Legendre symbol (x / y).",
        "Write a function _splitattr(url). splitattr('/path;attr1=value1') -> '/path', ['attr1']",
        "Write a function max_norm(f). Returns maximum norm of ``f``.",
        "Sort xs.",
        "Escape special",
        "Sun raster file",
        "Convert a Mobius transform",
    ],
)
def test_english_between_code_is_not_refused(text):
    assert wording.foreign(text, ["en"]) is None


@pytest.mark.parametrize("text", ["", "f(x) = x + 1", "`zähle_die_vokale`", "```\nfür x\n```"])
def test_code_alone_is_in_no_language(text):
    assert wording.foreign(text, ["en"]) is None
    assert wording.language(text) == wording.UNCLEAR


def test_text_beside_code_without_a_blank_is_read():
    assert (
        wording.language("实现`is_palindrome(s)`，如果s[0]正着读和倒着读相同则返回True。") == "zh"
    )


def test_an_unknown_language_is_refused_with_those_that_are_known():
    wording.check(["en", "zh"])
    with pytest.raises(InputError, match=r"request_languages has german; allowed: .*de"):
        wording.check(["german"])
