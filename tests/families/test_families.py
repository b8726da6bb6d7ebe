"""Every family goes the whole way on its tiny model: load, trim, cut, train, export, compare.

Transformers is the oracle for logits. Tokenizers and weights from GGUF files are in tests/sources,
what is refused in tests/models/test_families.py.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from potstill import files, runtime
from potstill.export import build, decoder
from potstill.loading import load
from potstill.models import checkpoint, families
from potstill.models.chat import ChatTokenizer
from potstill.students import depth
from potstill.tokens import spans
from potstill.vocabulary import trimming
from transformers import AutoTokenizer

from tests.tiny_models import CASES

CPU = torch.device("cpu")
IDS = [3, 77, 12, 301, 9, 9, 250, 31, 8, *range(5, 60)]
CHAT = [{"role": "user", "content": "wrap the text"}, {"role": "assistant", "content": "return x"}]
CORPUS = ["def wrap(text, width):\n    return text[:width]\n", "naïve x = 1"]
# format -> (quantisation, largest difference of a logit from transformers)
FORMATS = {"onnx": ("fp32", 1e-4), "gguf": ("f16", 0.03)}
TRIMMED, KEPT_LAYERS = 400, [1]


@dataclass(frozen=True)
class Way:
    """The checkpoints of one family from the teacher to the student."""

    case: str
    teacher: Path
    trimmed: Path
    cut: Path
    student: Path

    @property
    def ends(self) -> tuple[Path, Path]:
        return self.teacher, self.student


def train_one_step(folder, out):
    """Write the checkpoint after one step on one conversation, and return (loss, parameters)."""
    model = load.trainable(folder, CPU)
    ids, ((start, _, _),) = spans.tokenise(ChatTokenizer(folder), {"messages": CHAT})
    model.train()
    row = torch.tensor([ids])
    logits = model(row, use_cache=False).logits[0, start - 1 : -1]
    loss = torch.nn.functional.cross_entropy(logits, row[0, start:])
    loss.backward()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    optimiser.step()
    config = checkpoint.read_config(folder)
    checkpoint.write(out, dict(model.named_parameters()), config, beside=folder)
    return loss.item(), dict(model.named_parameters())


@pytest.fixture(scope="module", params=list(CASES))
def way(request, tiny_checkpoint, tmp_path_factory):
    base, teacher = tmp_path_factory.mktemp(request.param), tiny_checkpoint(request.param)
    trimming.choose(teacher, CORPUS, TRIMMED, base / "vocabulary")
    trimming.apply(base / "vocabulary", teacher, base / "trimmed")
    state, config = depth.keep_layers(
        checkpoint.read_state(base / "trimmed"),
        checkpoint.read_config(base / "trimmed"),
        KEPT_LAYERS,
    )
    checkpoint.write(base / "cut", state, config, beside=base / "trimmed")
    train_one_step(base / "cut", base / "student")
    return Way(request.param, teacher, base / "trimmed", base / "cut", base / "student")


def test_transformers_loads_what_was_made(way):
    for folder in (way.teacher, way.trimmed, way.cut, way.student):
        family = families.check(checkpoint.read_config(folder), folder)
        model = load.causal_lm(folder, torch.float32, CPU)
        assert type(model).__name__ == family.architecture
        assert type(model).__name__.lower().startswith(CASES[way.case].model_type)


def test_trimming_keeps_the_logits_of_the_kept_ids(way):
    kept = files.read_json(way.trimmed.with_name("vocabulary") / trimming.NAME)["kept_ids"]
    ids = list(range(7, 60))
    got = load.ReferenceModel(way.trimmed, 2).logits(ids)
    want = load.ReferenceModel(way.teacher, 2).logits([kept[i] for i in ids])
    assert got.shape[1] == TRIMMED
    assert np.abs(got - want[:, kept]).max() < 1e-5


def test_the_trimmed_tokenizer_is_one_to_transformers_too(way):
    ours, theirs = ChatTokenizer(way.trimmed), AutoTokenizer.from_pretrained(way.trimmed)
    for text in (*CORPUS, "a  b\n\n日本 🙂", ours.render(CHAT)):
        assert theirs.encode(text, add_special_tokens=False) == ours.encode(text)


def test_cutting_leaves_the_model_without_its_other_layers(way):
    whole = load.causal_lm(way.trimmed, torch.float32, CPU)
    whole.model.layers = torch.nn.ModuleList(whole.model.layers[i] for i in KEPT_LAYERS)
    with torch.inference_mode():
        want = whole(torch.tensor([IDS]), use_cache=False).logits[0].numpy()
    assert np.abs(load.ReferenceModel(way.cut, 2).logits(IDS) - want).max() < 1e-5


def test_one_step_has_a_finite_loss_and_moves_every_weight(way, tmp_path):
    loss, _ = train_one_step(way.cut, tmp_path / "a")
    assert 0 < loss < 20
    before, after = checkpoint.read_state(way.cut), checkpoint.read_state(way.student)
    assert set(before) == set(after)
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    assert all(torch.isfinite(weight).all() for weight in after.values())


def test_the_plain_decoder_computes_the_same(way):
    for folder in way.ends:
        want = load.ReferenceModel(folder, 2).logits(IDS)
        with torch.inference_mode():
            model = decoder.load(folder)
            got = model(*decoder.greedy_inputs(model, IDS))[0][0].numpy()
        assert np.abs(got - want).max() < 1e-4


@pytest.mark.parametrize("name", FORMATS)
def test_an_artefact_computes_the_same(way, name, tmp_path):
    quantisation, bound = FORMATS[name]
    for folder in way.ends:
        artefact = tmp_path / folder.name
        build.build(folder, artefact, format=name, quantisation=quantisation)
        loaded = runtime.load(artefact, threads=2, context=128)
        want = load.ReferenceModel(folder, 2).logits(IDS)
        got, text = loaded.logits(IDS), ChatTokenizer(folder).render(CHAT)
        ids = loaded.tokenize(text)
        loaded.close()
        assert got.shape == want.shape
        assert np.abs(got - want).max() < bound
        assert ids == ChatTokenizer(folder).encode(text)
