"""Rows that the tests of this folder cache, and a teacher for them."""

import pytest
import torch
from potstill.loading import load
from potstill.logits import caching
from potstill.logits.caching import Batching
from potstill.logits.codecs import CODECS
from potstill.logits.store import Header, LogitStore
from potstill.tokens.examples import Example

V = 509  # rows of the tiny teacher's head


def example(ids, start, group="g"):
    return Example(tuple(ids), ((start, len(ids), 1.0),), group)


@pytest.fixture
def rows():
    return [
        example((5, 9, 14, 3, 8), 2, "a"),
        example((7, 7, 30), 1, "b"),
        example((11, 4, 9, 60, 2, 44, 8), 3, "c"),
        example((5, 9, 14, 3, 9), 2, "a"),
    ]


@pytest.fixture(scope="session")
def teacher(tiny_llama):
    return load.causal_lm(tiny_llama, torch.float32, torch.device("cpu"))


def header(codec="topk", k=9, vocab_size=V, seed=0, **others):
    given = {"teacher_sha256": "t", "tokenizer_sha256": "tok", "template_sha256": "tpl", **others}
    return Header(
        **given, vocab_size=vocab_size, codec=codec, version=CODECS[codec].VERSION, k=k, seed=seed
    )


@pytest.fixture
def make(teacher, rows, tmp_path):
    """A function that caches rows into a store of the name; its metrics are in `make.metrics`."""

    small = Batching(2, per_part=1)

    def run(name="s", *, rows=rows, batching=small, scratch="scratch", **how):
        (tmp_path / scratch).mkdir(exist_ok=True)
        run.metrics = caching.cache(
            teacher, rows, tmp_path / name, header(**how), batching, scratch=tmp_path / scratch
        )
        return LogitStore(tmp_path / name)

    return run


@pytest.fixture
def direct(teacher):
    """A function that returns the teacher's logits of a row's answer, run alone."""

    def run(row):
        with torch.inference_mode():
            logits = teacher(torch.tensor([row.ids])).logits
        return logits[0, row.spans[0][0] - 1 : len(row.ids) - 1]

    return run
