"""A planted copy of a benchmark is found, whatever its spacing; other text is not."""

import pytest
from potstill.curation.contamination import NGramIndex, humaneval_texts


@pytest.fixture(scope="module")
def index():
    return NGramIndex(humaneval_texts(), 12)


def test_every_benchmark_text_of_enough_words_is_found(index):
    texts = [text for text in humaneval_texts() if len(text.split()) > 20]
    assert len(texts) > 100
    assert all(index.hit(text) for text in texts)


def test_case_and_punctuation_do_not_hide_a_copy(index):
    text = humaneval_texts()[0].upper().replace("(", " ( ").replace("\n", "\n\n")
    assert index.hit(f"before {text} after")


def test_ordinary_tasks_are_clean(index):
    assert index.hit("Write a function add_five(x) that returns x plus 5.") is None
    assert index.hit("") is None


def test_one_word_less_than_n_is_not_a_hit():
    index = NGramIndex(["a b c d e f"], 4)
    assert index.hit("x a b c y") is None
    assert index.hit("x a b c d y") == "a b c d"
