"""Caching: what is made does not depend on how the work is cut, and a killed run goes on.

Not tested here: speed (see benchmarks/caching.py).
"""

import ast
import inspect
import logging
import textwrap

import numpy as np
import pytest
import torch
from potstill import files
from potstill.errors import InputError
from potstill.loading import load
from potstill.logits import caching, parts
from potstill.logits.caching import Batching
from potstill.logits.codecs import CODECS
from potstill.logits.quantiles import Quantiles
from potstill.models.chat import ChatTokenizer
from potstill.tokens import spans
from potstill.tokens.examples import Example

from tests.logits.conftest import V, example, header


def signals(store, rows):
    signal = store.get(row.key for row in rows)
    return [getattr(signal, name) for name in vars(signal)]


@pytest.mark.parametrize("codec", ["topk", "sampled"])
def test_batches_chunks_and_parts_change_nothing(make, rows, codec):
    want = signals(make("a", codec=codec, batching=Batching(4)), rows)
    for number, batching in enumerate([Batching(1, 1, 1), Batching(2, 3, 2), Batching(3, 4, 1)]):
        how = {"codec": codec, "batching": batching, "scratch": f"x{number}"}
        for got, wanted in zip(signals(make(f"b{number}", **how), rows), want, strict=True):
            assert torch.allclose(got.double(), wanted.double(), atol=1e-3)


def test_rows_may_come_one_by_one(make, rows, tmp_path):
    make("a")
    make("b", rows=iter(rows), scratch="other")
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


def test_only_answer_tokens_are_kept_in_their_order(make, direct):
    row = Example((5, 9, 14, 3, 8, 2, 4), ((1, 3, 1.0), (5, 7, 2.0)), "g")
    got = make(rows=[row], k=1, batching=Batching(1, 3)).get([row.key])
    whole = direct(example(row.ids, 1))
    assert got.ids_NK[:, 0].tolist() == whole[[0, 1, 4, 5]].argmax(-1).tolist()


def test_parts_that_are_whole_are_kept_and_the_rest_is_made(make, rows, tmp_path):
    make("a")
    metrics = make.metrics
    found = sorted((tmp_path / "scratch").glob("part-*"))
    assert len(found) == 2
    stamp = found[0].stat().st_mtime_ns
    found[1].unlink()
    (tmp_path / "scratch/.part-x.safetensors.partial").write_bytes(b"of a killed run")
    make("b")
    assert found[0].stat().st_mtime_ns == stamp
    assert make.metrics == metrics
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


def test_a_part_that_lost_bytes_is_made_again(make, tmp_path):
    make("a")
    path = next((tmp_path / "scratch").glob("part-*"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    make("b")
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "change",
    [{"k": 8}, {"seed": 1}, {"codec": "sampled"}, {"teacher_sha256": "u"}, {"vocab_size": V - 1}],
)
def test_a_changed_setting_takes_no_part_of_another(rows, change, tmp_path):
    keys = [row.key for row in rows]
    path = parts.part_path(tmp_path, header(), keys)
    assert path == parts.part_path(tmp_path, header(), keys)
    assert path != parts.part_path(tmp_path, header(**change), keys)
    assert path != parts.part_path(tmp_path, header(), keys[::-1])


def test_a_row_that_comes_twice_is_stored_once(make, rows):
    store = make(rows=[rows[0], *rows, rows[0], rows[2]])
    assert len(store) == 4
    assert store.num_tokens == make.metrics["num_tokens"] == sum(r.num_answer_tokens for r in rows)


def test_kept_mass_is_one_minus_the_tail(make, rows, direct):
    make(k=3)
    mass = torch.cat([direct(row).softmax(-1).topk(3).values.sum(-1) for row in rows])
    assert make.metrics["kept_mass_mean"] == pytest.approx(mass.mean().item(), abs=1e-3)
    for name, share in {"p10": 0.1, "p50": 0.5}.items():
        want = np.quantile(mass.numpy(), share, method="inverted_cdf")
        assert make.metrics[f"kept_mass_{name}"] == pytest.approx(want, abs=1e-3)
    make("all", k=V)
    assert make.metrics["kept_mass_p01"] == 1.0


def test_padded_ids_have_no_probability(make, rows, direct):
    """A head of 509 rows, a tokenizer of 400 ids: the rest is cut before normalising."""
    store = make(k=400, vocab_size=400)
    got = store.get([rows[2].key])
    want = torch.log_softmax(direct(rows[2])[:, :400], -1)
    assert got.ids_NK.max() == 399
    error = (got.log_probs_NK - want.gather(-1, got.ids_NK)).abs()
    assert error.max() < (want.amax() - want.amin()) / 63 + 0.01
    assert (got.log_tail_N < -1000).all()


def test_a_head_with_fewer_rows_than_the_tokenizer_has_ids_is_refused(make):
    with pytest.raises(InputError, match="head has 509 rows, its tokenizer 510 ids: take"):
        make(vocab_size=510)


def test_no_rows_are_refused(make):
    with pytest.raises(InputError, match="no rows to cache"):
        make(rows=[])


def test_the_header_says_what_the_teacher_is(tiny_checkpoint):
    """Ids are those of the tokenizer, however many rows the head has."""
    for family in ("llama", "qwen2"):
        folder = tiny_checkpoint(family)
        made = caching.describe(folder, codec="topk", k=5, seed=3)
        assert made.tokenizer_sha256 == files.sha256_file(folder / "tokenizer.json")
        assert made.vocab_size <= files.read_json(folder / "config.json")["vocab_size"]
        assert (made.codec, made.k, made.version) == ("topk", 5, CODECS["topk"].VERSION)


def test_speed_is_logged_and_no_metric(make, caplog):
    with caplog.at_level(logging.INFO, "potstill"):
        make()
    assert "cache_logits: 12 tokens" in caplog.text
    assert not any("second" in name or "per_s" in name for name in make.metrics)


def code_of(function):
    """A function's source without comments and its docstring: prose is harder to foretell."""
    tree = ast.parse(inspect.getsource(function))
    del tree.body[0].body[0]
    return ast.unparse(tree)


@pytest.mark.real
@pytest.mark.parametrize("codec", ["topk", "sampled"])
def test_a_real_teacher_is_kept_in_few_bytes(smollm2, tmp_path, codec):
    """Drawn ids take three bytes each, and flat distributions have more of them."""
    chat, functions = ChatTokenizer(smollm2), (textwrap.dedent, textwrap.shorten, textwrap.indent)
    rows = []
    for function in functions:
        asked = {"role": "user", "content": f"Write {function.__name__}."}
        answer = {"role": "assistant", "content": code_of(function)}
        ids, places = spans.tokenise(chat, {"messages": [asked, answer]})
        rows.append(Example(tuple(ids), tuple(places), "g"))
    metrics = caching.cache(
        load.causal_lm(smollm2, torch.float32, torch.device("cpu")),
        rows,
        tmp_path / "out",
        caching.describe(smollm2, codec=codec, k=50, seed=0),
        Batching(3),
        scratch=tmp_path,
    )
    size = sum(path.stat().st_size for path in (tmp_path / "out").glob("data-*"))
    if codec == "topk":
        assert metrics["kept_mass_mean"] > 0.9
        assert size == 117 * metrics["num_tokens"]
        assert metrics["bytes_per_token"] <= 130
    else:
        assert 1 < metrics["distinct_ids_mean"] < 20
        each = 1 + 3 * metrics["distinct_ids_mean"]
        assert size == pytest.approx(each * metrics["num_tokens"], rel=1e-5)


def test_quantiles_of_pieces_are_those_of_the_whole():
    values = np.random.default_rng(0).beta(8, 1, 5000).astype(np.float32)
    found = Quantiles()
    for piece in np.array_split(values, 7):
        found.add("x", piece)
    got = found.summary({"p05": 0.05, "p50": 0.5})
    assert got["x_mean"] == pytest.approx(values.mean(), abs=1e-6)
    for name, share in {"p05": 0.05, "p50": 0.5}.items():
        want = np.quantile(values, share, method="inverted_cdf")
        assert got[f"x_{name}"] == pytest.approx(want, abs=1e-4)
