"""Each row is scored by the teacher of its language, as that teacher alone would."""

import shutil
from dataclasses import replace

import pytest
import torch
from potstill.distill import training
from potstill.distill.objective import Objective
from potstill.errors import InputError
from potstill.loading import load
from potstill.logits import caching, live, members, source
from potstill.logits.store import LIVE
from potstill.models import checkpoint

from tests.distill.runs import ROWS

CPU = torch.device("cpu")
BOTH = {"a": 1.0, "b": 1.0}
EACH = {"python": {"a": 1.0}, "javascript": {"b": 1.0}}


@pytest.fixture
def signals(tiny_llama, tmp_path):
    """Two live signals of teachers of different widths, in one folder."""
    for seed, (name, width) in enumerate((("a", 64), ("b", 96))):
        teacher = shutil.copytree(tiny_llama, tmp_path / f"teacher_{name}")
        torch.manual_seed(seed)
        config = checkpoint.read_config(teacher) | {"hidden_size": width}
        load.from_config(config).save_pretrained(teacher)
        described = caching.describe(teacher, codec=LIVE, k=0, seed=0)
        live.write(tmp_path / "signals" / name, described)
    return tmp_path / "signals"


def opened(folder):
    return source.open_source(folder, torch.float32, CPU)


def rows():
    """Return rows of both languages in turns, of different lengths."""
    names = ("python", "javascript", "python")
    return [replace(row, language=names[n % 3]) for n, row in enumerate(ROWS)]


def loss_of(model, some, teacher):
    loss = training.Loss(Objective("reverse_kl", alpha=0.0, chunk_tokens=7), teacher)
    return training.batch_loss(model, some, loss, torch.float32)


def test_the_loss_is_that_of_each_language_with_its_teacher(signals, tiny_llama, tmp_path):
    assert members.write(tmp_path / "both", signals, BOTH, EACH) == {"num_signals": 2}
    routed = opened(tmp_path / "both")
    model = load.causal_lm(tiny_llama, torch.float32, CPU)
    whole = loss_of(model, rows(), routed)
    alone = [
        loss_of(model, [row for row in rows() if row.language == name], opened(signals / member))
        for name, member in (("python", "a"), ("javascript", "b"))
    ]
    assert whole.loss.item() == pytest.approx(sum(one.loss.item() for one in alone), rel=1e-5)
    swapped = [
        loss_of(model, [row for row in rows() if row.language == name], opened(signals / member))
        for name, member in (("python", "b"), ("javascript", "a"))
    ]
    assert abs(sum(one.loss.item() for one in swapped) - whole.loss.item()) > 0.01
    assert routed.names == ["a", "b"]


def test_one_default_teacher_has_what_no_other_is_for(signals, tmp_path):
    members.write(tmp_path / "both", signals, {"a": 1.0, "b": 0.0}, {"javascript": {"b": 1.0}})
    routed = opened(tmp_path / "both")
    routed.require([replace(ROWS[0], language="")])
    members.write(tmp_path / "none", signals, BOTH, EACH)
    with pytest.raises(InputError, match="none of these teachers is for 'rust'"):
        opened(tmp_path / "none").require([replace(ROWS[0], language="rust")])


def test_teachers_that_run_are_not_averaged_nor_mixed_with_stored_ones(signals, tmp_path):
    members.write(tmp_path / "mean", signals, BOTH, {"python": BOTH})
    with pytest.raises(InputError, match="2 live teachers are for python"):
        opened(tmp_path / "mean")
    header = signals / "b/header.json"
    header.write_text(header.read_text().replace('"live"', '"topk"'))
    with pytest.raises(InputError, match="is a teacher that runs"):
        members.write(tmp_path / "mixed", signals, BOTH, EACH)
