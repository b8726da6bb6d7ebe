"""A planted copy of a benchmark is found, whatever its spacing; other text is not."""

import json

import pytest
from potstill.curation.contamination import NGramIndex, benchmark_texts


@pytest.fixture(scope="module")
def index():
    return NGramIndex(benchmark_texts({}), 12)


def test_every_benchmark_text_of_enough_words_is_found(index):
    texts = [text for text in benchmark_texts({}) if len(text.split()) > 20]
    assert len(texts) > 100
    assert all(index.hit(text) for text in texts)


def test_case_and_punctuation_do_not_hide_a_copy(index):
    text = benchmark_texts({})[0].upper().replace("(", " ( ").replace("\n", "\n\n")
    assert index.hit(f"before {text} after")


def test_ordinary_tasks_are_clean(index):
    assert index.hit("Write a function add_five(x) that returns x plus 5.") is None
    assert index.hit("") is None


def test_one_word_less_than_n_is_not_a_hit():
    index = NGramIndex(["a b c d e f"], 4)
    assert index.hit("x a b c y") is None
    assert index.hit("x a b c d y") == "a b c d"


def test_a_benchmark_that_users_point_to_is_kept_out_too(tmp_path):
    text = "Write a function to count how many tall blue houses stand between two green rivers."
    row = {"task_id": "mbpp/1", "text": text, "code": "def f(x):\n    return x", "split": "train"}
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row))
    texts = benchmark_texts({"mbpp": str(tmp_path / "mbpp.jsonl")})
    assert len(texts) == len(benchmark_texts({})) + 1
    assert NGramIndex(texts, 12).hit(text)
    assert benchmark_texts({"mbpp": str(tmp_path / "absent.jsonl")}) == benchmark_texts({})
