"""The card counts what is there, shows text as text, and the certificate names what is alike."""

import re
from html.parser import HTMLParser

import pytest
from potstill import files
from potstill.card import card, certificate
from potstill.curation.contamination import Benchmarks, known
from potstill.tasks import TASKS, Where

HOSTILE = "</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;{{ 7 * 7 }}"


def row(name, answer, asked="Do it.", **fields):
    return {
        "id": name,
        "format": "code",
        "language": "python",
        "group": "family",
        "origin": "reference",
        "licence": "MIT",
        "messages": [
            {"role": "system", "content": "You code."},
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answer},
        ],
        **fields,
    }


@pytest.fixture(scope="module")
def benchmarks():
    return Benchmarks(known(Where()), 12, 0.8)


@pytest.fixture
def dataset(tmp_path):
    """Return training rows: a copy, a renamed copy, a clean and a hostile one."""
    solution = TASKS["humaneval"].texts(Where())[0].code
    body = solution[: solution.index('    """')] + solution.rsplit('"""\n', 1)[1]
    renamed = re.sub(r"\b(numbers|threshold|distance|elem2?|idx2?)\b", r"my_\1", body)
    rows = [
        row("a", "pass", TASKS["humaneval"].texts(Where())[1].text),
        row("b", renamed, group="other"),
        row("c", "def f(x):\n    return x + 1", origin="mined", licence=HOSTILE),
        row("d", HOSTILE, HOSTILE, format="plan", group=HOSTILE),
    ]
    files.write_jsonl(tmp_path / "train.jsonl", rows)
    return tmp_path


@pytest.fixture
def certified(dataset, benchmarks):
    rejected = [
        {"id": "x", "reason": "contaminated", "detail": "humaneval HumanEval/3, code 0.91"},
        {"id": "y", "reason": "duplicate", "detail": ""},
    ]
    return certificate.certify(dataset, rejected, benchmarks)


def page(dataset, certified):
    rows = list(files.read_jsonl(dataset / "train.jsonl"))
    rejected = [{"reason": "duplicate"}, {"reason": HOSTILE}]
    splits = {"train": rows, "validation": [], "test": rows[:1]}
    return card.render(splits, rejected, {"en": 3, "unclear": 1}, certified)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.attributes = set(), "", set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def test_copies_are_named_with_their_problem_and_clean_rows_are_not(certified):
    found = {(one["row"], one["problem"], one["by"]) for one in certified["likenesses"]}
    assert found == {("a", "HumanEval/1", "words"), ("b", "HumanEval/0", "code")}
    assert all(one["is_hit"] for one in certified["likenesses"])
    assert certified["tasks"]["humaneval"]["num_hits"] == 2
    assert certified["tasks"]["humaneval"]["num_suspects"] == 0


def test_every_task_and_every_dropped_row_is_in_the_certificate(certified, dataset):
    assert set(certified["tasks"]) == set(TASKS)
    assert certified["tasks"]["katas"]["compared"] is False  # no folder of prompts is given
    assert certified["dropped"] == [{"row": "x", "detail": "humaneval HumanEval/3, code 0.91"}]
    assert certified["rows_sha256"] == files.sha256_file(dataset / "train.jsonl")


def test_hostile_text_is_shown_and_does_not_run(dataset, certified):
    parsed = Tags()
    parsed.feed(page(dataset, certified))
    assert not {"script", "img", "iframe", "link"} & parsed.tags
    assert not {name for name in parsed.attributes if name.startswith("on")}
    assert parsed.text.count(HOSTILE) >= 5  # request, answer, group, licence, reason


def test_the_page_fetches_nothing_and_is_equal_again(dataset, certified):
    text = page(dataset, certified)
    assert text == page(dataset, certified)
    assert not re.search(
        r"""(?:src|href)=["'](?!#)|url\((?!#)|@import""", text.replace(HOSTILE, "")
    )
    assert "default-src 'none'" in text


def test_the_counts_are_those_of_the_rows(dataset, certified):
    parsed = Tags()
    parsed.feed(page(dataset, certified))
    words = parsed.text.split()
    assert " ".join(words).find("rows 4 0 1 families and modules 3 0 1") > 0
    assert "reference 3 0 1 mined 1 0 0" in " ".join(words)
    assert "2 hits" not in words
