"""The store is whole, says who made it, and is the same after a crash."""

import pytest
from potstill import files
from potstill.errors import InputError
from potstill.logits.store import LogitStore, tokenizer_hash

from stages.cache_logits import Params, main

SETTINGS = {
    "k": 8,
    "max_rows": 10,
    "batch_rows": 4,
    "threads": 2,
    "seed": 0,
}


def cache(tiny_llama, tokens, tmp_path, name):
    scratch = tmp_path / f"scratch-{name}"
    scratch.mkdir(exist_ok=True)
    return main(
        Params(**SETTINGS),
        teacher=tiny_llama,
        rows=tokens / "train.arrow",
        out=tmp_path / name,
        scratch=scratch,
    )


def test_the_store_names_its_teacher(tiny_llama, tokens, tmp_path):
    metrics = cache(tiny_llama, tokens, tmp_path, "a")
    store = LogitStore(tmp_path / "a")
    assert store.header.tokenizer_sha256 == tokenizer_hash(tiny_llama)
    assert len(store) == metrics["num_rows"] == 10
    assert 0 < metrics["kept_mass_mean"] <= 1
    assert cache(tiny_llama, tokens, tmp_path, "b") == metrics
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


def test_rows_in_another_tokenizers_ids_are_refused(tiny_qwen2, tokens, tmp_path):
    with pytest.raises(InputError, match=r"train.arrow was made with tokenizer_sha256.*tokenise"):
        cache(tiny_qwen2, tokens, tmp_path, "a")
