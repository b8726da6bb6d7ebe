"""The store is whole, says who made it, and is the same after a crash."""

import shutil
import typing

import pytest
import torch
from potstill import files
from potstill.errors import InputError
from potstill.loading import load
from potstill.logits import caching
from potstill.logits.codecs import CODECS
from potstill.logits.store import LIVE, LogitStore, unpacked
from potstill.models.chat import ChatTokenizer
from potstill.tokens import table
from potstill.tokens.folds import FOLDS, record, trained_on

from stages.cache_logits import Params, main
from tests.stages.test_adapt_teacher import adapt

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


def keys_of(rows):
    return {row.key for row in rows}


def stored(folder):
    return {unpacked(key) for key in LogitStore(folder).keys}


@pytest.fixture
def halves(tiny_llama, dataset, tmp_path):
    """Two teachers, each adapted on half of the families; and their tables."""
    for fold in FOLDS:
        adapt(tiny_llama, dataset, tmp_path, f"half{fold}", folds=[fold], steps=1)
    return [tmp_path / f"half{fold}" for fold in FOLDS], tmp_path / "tokens-half0"


def test_no_teacher_scores_a_row_that_it_learnt_and_two_halves_score_all(halves, tmp_path):
    teachers, tokens = halves
    rows = table.open(tokens / "train.arrow", ChatTokenizer(teachers[0]))
    for fold, teacher in zip(FOLDS, teachers, strict=True):
        assert trained_on(teacher) == [fold]
        metrics = cache(teacher, tokens, tmp_path, f"signal{fold}", max_rows=99)
        assert stored(tmp_path / f"signal{fold}") == keys_of(rows.of_folds([1 - fold]))
        assert metrics["num_rows"] == len(rows.of_folds([1 - fold]))
        assert LogitStore(tmp_path / f"signal{fold}").header.seen_folds == [fold]
    assert stored(tmp_path / "signal0") | stored(tmp_path / "signal1") == keys_of(rows)


def test_rows_that_a_teacher_learnt_are_scored_only_where_that_is_stated(halves, tmp_path):
    teachers, tokens = halves
    rows = table.open(tokens / "train.arrow", ChatTokenizer(teachers[0]))
    cache(teachers[0], tokens, tmp_path, "a", max_rows=99, allow_seen=True)
    assert stored(tmp_path / "a") == keys_of(rows)
    header = LogitStore(tmp_path / "a").header
    assert (header.seen_folds, header.allow_seen) == ([0], True)
    whole = load.causal_lm(teachers[0], torch.float32, torch.device("cpu"))
    strict = caching.describe(teachers[0], codec="topk", k=3, seed=0)
    with pytest.raises(InputError, match=r"half0 was adapted on 4 of 12 rows .*\(folds \[0\]\)"):
        caching.cache(
            whole, rows, tmp_path / "b", strict, caching.Batching(4), scratch=tmp_path / "scratch-a"
        )


@pytest.mark.parametrize("codec", ["topk", "live"])
def test_a_teacher_of_all_rows_has_none_left(tiny_llama, tokens, tmp_path, codec):
    teacher = shutil.copytree(tiny_llama, tmp_path / "teacher")
    record(teacher, FOLDS)
    with pytest.raises(InputError, match="trained on rows of all folds, so none is left"):
        cache(teacher, tokens, tmp_path, "a", codec=codec)


def test_a_live_signal_is_a_header(tiny_llama, tokens, tmp_path):
    metrics = cache(tiny_llama, tokens, tmp_path, "a", codec="live")
    assert metrics == {"num_rows": 12}
    assert [path.name for path in files.files_below(tmp_path / "a")] == ["header.json"]


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
