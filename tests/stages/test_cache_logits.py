"""The store is whole, says who made it, and is the same after a crash."""

import typing

import pytest
from potstill import files
from potstill.errors import InputError
from potstill.logits.codecs import CODECS
from potstill.logits.store import LIVE, LogitStore

from stages.cache_logits import Params, main

SETTINGS = {
    "teacher": "teacher_adapted",
    "codec": "topk",
    "k": 8,
    "min_kept_mass_mean": 0.0,
    "allow_seen": False,
    "max_rows": 4,
    "batch_rows": 4,
    "threads": 2,
    "seed": 0,
}


def cache(tiny_llama, tokens, tmp_path, name, **changes):
    scratch = tmp_path / f"scratch-{name}"
    scratch.mkdir(exist_ok=True)
    return main(
        Params(**(SETTINGS | changes)),
        teacher=tiny_llama,
        rows=tokens / "train.arrow",
        out=tmp_path / name,
        scratch=scratch,
    )


@pytest.mark.parametrize(
    ("codec", "measured"), [("topk", "kept_mass"), ("sampled", "distinct_ids")]
)
def test_the_store_names_its_teacher(tiny_llama, tokens, tmp_path, codec, measured):
    metrics = cache(tiny_llama, tokens, tmp_path, "a", codec=codec)
    store = LogitStore(tmp_path / "a")
    assert store.header.tokenizer_sha256 == files.sha256_file(tiny_llama / "tokenizer.json")
    assert store.header.teacher_sha256 == files.sha256_tree(tiny_llama)
    assert store.header.codec == codec
    assert len(store) == metrics["num_rows"] == 4 + 4  # of each fold
    assert 0 < metrics[f"{measured}_p01"] <= metrics[f"{measured}_mean"]
    assert cache(tiny_llama, tokens, tmp_path, "b", codec=codec) == metrics
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


def test_rows_in_another_tokenizers_ids_are_refused(tiny_qwen2, tokens, tmp_path):
    with pytest.raises(InputError, match=r"train.arrow was made with tokenizer_sha256.*tokenise"):
        cache(tiny_qwen2, tokens, tmp_path, "a")


def test_too_little_kept_mass_stops_the_stage(tiny_llama, tokens, tmp_path):
    mass = cache(tiny_llama, tokens, tmp_path, "a")["kept_mass_mean"]
    cache(tiny_llama, tokens, tmp_path, "b", min_kept_mass_mean=mass - 1e-6)
    with pytest.raises(InputError, match=r"the 8 most probable .* raise cache_logits\.k"):
        cache(tiny_llama, tokens, tmp_path, "c", min_kept_mass_mean=mass + 1e-6)


def test_drawn_ids_have_no_kept_mass_to_hold(tiny_llama, tokens, tmp_path):
    metrics = cache(tiny_llama, tokens, tmp_path, "a", codec="sampled", min_kept_mass_mean=1.0)
    assert "kept_mass_mean" not in metrics


def test_the_setting_takes_every_codec():
    assert set(typing.get_args(Params.model_fields["codec"].annotation)) == {*CODECS, LIVE}
