"""The map is the cut vocabulary's, both ways, and drafting by it changes nothing of an answer."""

import itertools

import numpy as np
import pytest
import torch
from potstill.cli.__main__ import main
from potstill.errors import InputError
from potstill.loading import load
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.vocabulary import drafting, trimming
from safetensors.numpy import load_file

from tests.tiny_models import CASES

TEXT = "def wrap(text, width):\n    return text[:width]\n" * 4
CPU = torch.device("cpu")


@pytest.fixture(params=CASES)
def pair(request, tiny_checkpoint, tmp_path):
    """Return a target and a draft with fewer ids and the same weights otherwise."""
    target, vocabulary = tiny_checkpoint(request.param), tmp_path / "vocabulary"
    trimming.choose(target, [TEXT], 330, vocabulary)
    trimming.apply(vocabulary, target, tmp_path / "draft")
    return target, tmp_path / "draft"


def test_what_the_draft_writes_is_the_target_s_and_what_it_reads_is_its_own(pair):
    target, draft = pair
    found = drafting.draft_map(draft, target)
    full, cut = ChatTokenizer(target), ChatTokenizer(draft)
    assert found.d2t.dtype == np.int64
    assert found.t2d.sum() == len(found.d2t) == cut.vocab_size < full.vocab_size
    kept = trimming.kept_ids(draft.parent / "vocabulary")
    assert found.to_target(range(len(kept))) == kept
    for text in (TEXT, "naïve café 日本語 🙂, never seen: zygote_quux"):
        ids = full.encode(text)
        read = found.to_draft(ids)
        raw = cut.tokenizer.decode(read, skip_special_tokens=False)
        assert raw == full.tokenizer.decode(ids, skip_special_tokens=False)
        if set(ids) <= set(kept):
            assert read == cut.encode(text)
    rows = checkpoint.read_config(target)["vocab_size"]
    assert sorted(found.spelled) == sorted(set(range(rows)) - set(kept))
    empty = [index for index, ids in found.spelled.items() if not ids]
    assert empty == list(range(full.vocab_size, rows)), "an id that the draft could not read"


def greedy(model, ids, count):
    """Return the next tokens of a model, one pass each."""
    ids = list(ids)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-count:]


@pytest.mark.parametrize("length", [1, 3])
def test_drafting_writes_what_the_target_writes_in_as_many_passes_as_said(pair, length):
    target, draft = pair
    found = drafting.draft_map(draft, target)
    big, small = (load.causal_lm(folder, torch.float32, CPU) for folder in pair)
    rows = checkpoint.read_config(target)["vocab_size"]
    prompt, count = ChatTokenizer(target).encode(TEXT[:40]), 24
    alone = greedy(big, prompt, count)
    # the loop itself: draft, let the target look, keep the agreement and one of its own
    written, passes = [], []
    while len(written) < count:
        so_far = [*prompt, *written]
        proposed = found.to_target(greedy(small, found.to_draft(so_far), length))
        assert max(proposed) < rows
        looked = [greedy(big, [*so_far, *proposed[:n]], 1)[0] for n in range(length + 1)]
        kept = next((n for n, one in enumerate(proposed) if one != looked[n]), length)
        written += [*proposed[:kept], looked[kept]]
        passes.append(kept)
    assert written[:count] == alone
    agrees = [
        found.to_target(greedy(small, found.to_draft([*prompt, *alone[:n]]), 1))[0] == one
        for n, one in enumerate(alone)
    ]
    said = drafting.accepted(agrees, length)
    assert said[:-1] == passes[: len(said) - 1]


@pytest.mark.parametrize(
    ("agrees", "length", "kept"),
    [
        ([], 3, []),
        ([True] * 7, 3, [3, 3]),  # and one of the target's own after each
        ([False, True, True, False], 2, [0, 2]),
        ([True, True, True], 1, [1, 1]),
    ],
)
def test_accepted_by_hand(agrees, length, kept):
    assert drafting.accepted(agrees, length) == kept


def test_the_file_has_the_tensors_that_runtimes_read(tiny_llama, tmp_path, capsys):
    trimming.choose(tiny_llama, [TEXT], 330, tmp_path / "cut")
    out = tmp_path / "map.safetensors"
    assert (
        main(["draft", str(tmp_path / "cut"), "--target", str(tiny_llama), "--out", str(out)]) == 0
    )
    found, tensors = drafting.draft_map(tmp_path / "cut", tiny_llama), load_file(out)
    assert tensors["d2t"].dtype == np.int64
    assert tensors["t2d"].dtype == np.bool_
    assert np.flatnonzero(tensors["t2d"]).tolist() == found.to_target(range(330))
    starts = [0, *tensors["spelled_ends"]]
    parts = [tensors["spelled_ids"][a:b].tolist() for a, b in itertools.pairwise(starts)]
    assert dict(zip(np.flatnonzero(~tensors["t2d"]).tolist(), parts, strict=True)) == found.spelled
    assert "330 of 509 ids" in capsys.readouterr().out


def test_another_vocabulary_is_refused(tiny_llama, tiny_qwen2, tmp_path, capsys):
    with pytest.raises(InputError, match="a draft needs its target's vocabulary, or a cut of it"):
        drafting.draft_map(tiny_qwen2, tiny_llama)
    args = ["draft", str(tmp_path), "--target", str(tiny_llama), "--out", str(tmp_path / "x")]
    assert main(args) == 2
    assert "has no tokenizer.json: give a checkpoint" in capsys.readouterr().err
