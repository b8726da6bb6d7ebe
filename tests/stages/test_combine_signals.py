"""Signals are combined by name; what they were then is held."""

import json
import shutil

import pytest
import torch
from potstill import files
from potstill.errors import InputError
from potstill.logits import caching, live, source
from potstill.logits.ensemble import Ensemble
from potstill.logits.store import LogitStore

from stages.combine_signals import Params, main
from tests.stages.test_cache_logits import cache

CPU = torch.device("cpu")


@pytest.fixture
def signals(tiny_llama, tokens, tmp_path):
    """Signals of one teacher that keep 8 and 5 ids of a token."""
    (tmp_path / "signals").mkdir()
    for name, k in (("one", 8), ("two", 5)):
        cache(tiny_llama, tokens, tmp_path, name, k=k)
        (tmp_path / name).rename(tmp_path / "signals" / name)
    return tmp_path / "signals"


def combine(signals, out, weights, **changes):
    return main(Params(weights=weights, **changes), signals=signals, out=out)


def test_the_folder_reads_as_the_ensemble_of_its_signals(signals, tmp_path, tokens, tiny_llama):
    weights = {"two": 1.0, "one": 3.0}
    by_language = {"python": {"one": 2.0}}
    metrics = combine(signals, tmp_path / "a", weights, by_language=by_language)
    assert metrics == {"num_signals": 2, "num_rows": 8, "num_shared_rows": 8}
    assert combine(signals, tmp_path / "b", weights, by_language=by_language) == metrics
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")
    found = source.open_source(tmp_path / "a", torch.float32, CPU)
    assert (found.names, found.weights) == (["two", "one"], [1.0, 3.0])
    assert found.by_domain == {"python": [0.0, 2.0]}
    stores = [LogitStore(signals / name) for name in weights]
    key = stores[0].keys[3].ljust(16, b"\0").hex()
    for language, given in (("python", [0, 2]), ("javascript", [1, 3])):
        got, want = found.get([key], [language]), Ensemble(stores, given).get([key])
        assert torch.equal(got.ids_NK, want.ids_NK)
        assert torch.equal(got.log_probs_NK, want.log_probs_NK)


@pytest.mark.parametrize(
    ("weights", "by_language", "said"),
    [
        ({"one": 1.0, "tow": 1.0}, {}, "no signal 'tow'; allowed: one, two; did you mean two"),
        ({"one": 1.0}, {"python": {"two": 1.0}}, "python weighs 'two', which is not of it"),
        ({"one": 0.0, "two": 0.0}, {}, "give one weight for each"),
        ({"one": 1.0, "two": 1.0}, {"python": {"one": 0.0}}, r"python is \[0.0, 0.0\]"),
    ],
)
def test_what_weighs_nothing_or_nobody_is_refused(signals, tmp_path, weights, by_language, said):
    with pytest.raises(InputError, match=said):
        combine(signals, tmp_path / "a", weights, by_language=by_language)


def test_a_signal_that_changed_or_went_since_is_refused(signals, tiny_llama, tokens, tmp_path):
    combine(signals, tmp_path / "a", {"one": 1.0, "two": 1.0})
    shutil.rmtree(signals / "two")
    with pytest.raises(InputError, match=r"two/header\.json is missing: run `dvc repro`"):
        source.open_source(tmp_path / "a", torch.float32, CPU)
    cache(tiny_llama, tokens, tmp_path, "other", k=6)
    (tmp_path / "other").rename(signals / "two")
    with pytest.raises(InputError, match=r"two is not the signal that .*a was made of"):
        source.open_source(tmp_path / "a", torch.float32, CPU)


def test_a_teacher_that_runs_is_not_combined(signals, tiny_llama, tmp_path):
    live.write(signals / "three", caching.describe(tiny_llama, codec="live", k=0, seed=0))
    with pytest.raises(InputError, match=r"three is a teacher that runs, .* codec topk"):
        combine(signals, tmp_path / "a", {"one": 1.0, "three": 1.0})


def test_signals_of_two_tokenizers_are_not_combined(signals, tmp_path):
    path = signals / "two/header.json"
    described = json.loads(path.read_text())
    described["header"]["tokenizer_sha256"] = "0" * 64
    path.write_text(json.dumps(described))
    with pytest.raises(InputError, match="only teachers of one tokenizer"):
        combine(signals, tmp_path / "a", {"one": 1.0, "two": 1.0})


def test_an_ensemble_of_another_version_is_refused(signals, tmp_path):
    combine(signals, tmp_path / "a", {"one": 1.0})
    path = tmp_path / "a/header.json"
    described = json.loads(path.read_text())
    described["header"]["version"] = 9
    path.write_text(json.dumps(described))
    with pytest.raises(InputError, match="version 9 of an ensemble, 1 is read here"):
        source.open_source(tmp_path / "a", torch.float32, CPU)
