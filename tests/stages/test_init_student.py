"""A start is its source with the shared vocabulary: whole, with fewer layers, or made anew."""

import shutil

import pytest
import torch
from potstill import files
from potstill.errors import InputError
from potstill.export import build
from potstill.loading import load
from potstill.models import checkpoint
from potstill.tokens import folds
from potstill.vocabulary import trimming
from pydantic import ValidationError

from stages.init_student import Params, main
from tests.stages.conftest import tokens_of
from tests.students.test_depth import four_layers

SETTINGS = {
    "from": "teacher_adapted",
    "candidates": 2,
    "calibration_rows": 4,
    "threads": 2,
    "seed": 0,
}
CORPUS = ["def wrap(text):\n    return text"] * 9


@pytest.fixture
def make(dataset, tmp_path):
    """Return a function that makes a start of a source, cut to `size` ids of the teacher's."""

    def run(source, teacher=None, size=320, name="out", **changes):
        vocabulary = tmp_path / f"vocabulary-{name}"
        trimming.choose(teacher or source, CORPUS, size, vocabulary)
        (tmp_path / f"scratch-{name}").mkdir()
        tokens = tokens_of(dataset, vocabulary, tmp_path / f"tokens-{name}")
        out = tmp_path / name
        metrics = main(
            Params(**(SETTINGS | changes)),
            source=source,
            vocabulary=vocabulary,
            rows=tokens / "train.arrow",
            out=out,
            scratch=tmp_path / f"scratch-{name}",
        )
        return metrics, out

    return run


def test_fewer_layers_and_the_same_head(tiny_llama, tmp_path, make):
    teacher = four_layers(tiny_llama, tmp_path / "teacher")
    metrics, out = make(teacher, num_layers=3, size=0)
    assert (metrics["num_layers_before"], metrics["num_layers_after"]) == (4, 3)
    assert metrics["num_parameters"] < metrics["num_parameters_before"]
    before, after = checkpoint.read_state(teacher), checkpoint.read_state(out)
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    assert checkpoint.read_config(out)["num_hidden_layers"] == 3


def test_another_checkpoint_of_the_family_is_cut_to_the_teachers_vocabulary(
    tiny_llama, tmp_path, make
):
    """As a 0.5B beside a 1.5B teacher: other weights and depth, the same tokenizer."""
    small = four_layers(tiny_llama, tmp_path / "small")
    metrics, out = make(small, teacher=tiny_llama)
    assert metrics["num_layers_after"] == 4
    assert checkpoint.shapes(out)["model.embed_tokens.weight"][0] <= 320
    kept = files.read_json(tmp_path / "vocabulary-out" / trimming.NAME)["kept_ids"]
    before, after = checkpoint.read_state(small), checkpoint.read_state(out)
    name = "model.embed_tokens.weight"
    assert torch.equal(before[name][kept], after[name])
    trimmed = tmp_path / "vocabulary-out/tokenizer.json"
    assert (out / "tokenizer.json").read_bytes() == trimmed.read_bytes()


def test_a_student_with_an_adapter_is_a_start(tiny_llama, tmp_path, make):
    """The adapter is in its weights; the folder beside them is not the start's."""
    source = shutil.copytree(tiny_llama, tmp_path / "student")
    (source / "adapter").mkdir()
    (source / "adapter/adapter_config.json").write_text("{}")
    for name, changes in (("plain", {}), ("cut", {"num_layers": 2, "vocabulary": "whole"})):
        _, out = make(source, size=0, name=name, **changes)
        assert not (out / "adapter").exists()
        assert (out / "model.safetensors").exists()


def test_a_model_that_has_the_vocabulary_is_linked_not_copied(tiny_llama, tmp_path, make):
    _, out = make(tiny_llama, size=0)
    assert (out / "model.safetensors").samefile(tiny_llama / "model.safetensors")
    _, again = make(tiny_llama, size=0, name="whole", vocabulary="whole")
    assert files.sha256_tree(again) == files.sha256_tree(tiny_llama)


def test_another_tokenizer_is_refused_with_the_way_out(tiny_checkpoint, make):
    with pytest.raises(InputError, match=r"another tokenizer.*vocabulary: whole"):
        make(tiny_checkpoint("qwen2"), teacher=tiny_checkpoint("llama"))
    _, out = make(
        tiny_checkpoint("qwen2"), teacher=tiny_checkpoint("llama"), name="own", vocabulary="whole"
    )
    assert checkpoint.read_config(out)["model_type"] == "qwen2"


def test_a_model_with_its_own_tokenizer_is_measured_on_the_same_rows(tiny_llama, tiny_qwen2, make):
    wanted = {"num_layers": 2, "vocabulary": "whole"}
    metrics, _ = make(tiny_qwen2, teacher=tiny_llama, name="other", **wanted)
    same, _ = make(tiny_qwen2, size=0, name="own", **wanted)
    assert metrics == same  # whether the table was in its ids or not
    assert metrics["calibration_nll_before_nats"] > 0


def test_a_fresh_model_has_the_config_asked_for_and_random_weights(tiny_llama, make):
    changes = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "head_dim": 12}
    metrics, out = make(tiny_llama, fresh=changes)
    config = checkpoint.read_config(out)
    assert {key: config[key] for key in changes} == changes
    assert metrics["num_layers_after"] == 3
    model = load.causal_lm(out, torch.float32, torch.device("cpu"))
    assert torch.isfinite(model(torch.tensor([[1, 2, 3]])).logits).all()
    _, same = make(tiny_llama, name="same", fresh=changes)
    _, other = make(tiny_llama, name="other", fresh=changes, seed=1)
    weights = [(folder / "model.safetensors").read_bytes() for folder in (out, same, other)]
    assert weights[0] == weights[1] != weights[2]


def test_a_config_that_is_no_model_is_refused(tiny_llama, make):
    with pytest.raises(InputError, match="no model has this config"):
        make(tiny_llama, fresh={"model_type": "nonsense"})


def test_pruning_and_a_fresh_model_exclude_each_other():
    with pytest.raises(ValidationError, match="give one"):
        Params(**(SETTINGS | {"num_layers": 2, "fresh": {"hidden_size": 8}}))


@pytest.mark.parametrize("wrong", [1, 9])
def test_an_impossible_depth_is_refused(tiny_llama, make, wrong):
    with pytest.raises(InputError, match=f"num_layers is {wrong}; 2 to 2"):
        make(tiny_llama, num_layers=wrong)


def test_a_start_has_learnt_what_its_source_has_and_a_new_model_nothing(tiny_llama, tmp_path, make):
    source = four_layers(tiny_llama, tmp_path / "source")
    folds.record(source, [1])
    for name, changes, learnt in [
        ("cut", {}, [1]),
        ("plain", {"size": 0}, [1]),
        ("pruned", {"num_layers": 3}, [1]),
        ("whole", {"vocabulary": "whole"}, [1]),
        ("fresh", {"fresh": {"num_hidden_layers": 1}}, []),
        ("fresh_whole", {"fresh": {"num_hidden_layers": 1}, "size": 0}, []),
    ]:
        _, out = make(source, name=name, **changes)
        assert folds.trained_on(out) == learnt, name


def test_fewer_channels_and_heads_than_the_source(tiny_llama, make):
    metrics, out = make(tiny_llama, size=0, ffn_width=64, num_heads=2)
    config = checkpoint.read_config(out)
    assert (config["intermediate_size"], config["num_attention_heads"]) == (64, 2)
    losses = {name: nats for name, nats in metrics.items() if name.startswith("nll_")}
    assert len(losses) == 4  # two ways for heads, two for channels
    assert losses[f"nll_{metrics['scored_by']}_nats"] == min(losses.values())
    assert metrics["calibration_nll_after_nats"] == min(losses.values())
    assert metrics["num_parameters"] < metrics["num_parameters_before"]
    load.causal_lm(out, torch.float32, torch.device("cpu"))


def test_layers_and_channels_go_by_a_budget_of_bytes(tiny_llama, tmp_path, make):
    teacher = four_layers(tiny_llama, tmp_path / "teacher")
    build.build(teacher, tmp_path / "whole", format="gguf", quantisation="q8_0")
    whole = (tmp_path / "whole/model.gguf").stat().st_size
    budget = {"bytes": int(0.9 * whole), "quantisation": "q8_0"}
    metrics, out = make(teacher, size=0, budget=budget)
    build.build(out, tmp_path / "cut", format="gguf", quantisation="q8_0")
    size = (tmp_path / "cut/model.gguf").stat().st_size
    assert size <= metrics["predicted_bytes"] <= budget["bytes"] == metrics["budget_bytes"]
    assert metrics["predicted_bytes"] - size <= 2048
    # of random weights: a cut changes little, and two cuts together what the two change
    assert metrics["predicted_nll_nats"] == pytest.approx(
        metrics["calibration_nll_after_nats"], rel=0.02
    )


def test_of_several_quantisations_the_one_of_the_lowest_loss_is_taken(tiny_llama, tmp_path, make):
    """With room for all of it at each, it costs no more than float16, which costs nothing."""
    teacher = four_layers(tiny_llama, tmp_path / "teacher")
    names = ["q4_0", "f16", "q8_0"]
    metrics, _ = make(teacher, size=0, budget={"bytes": 10**9, "quantisation": names})
    assert metrics["quantisation"] in names
    assert metrics["rounding_nats"] < 1e-4
    assert metrics["num_layers_after"] == 4
    assert metrics["calibration_nll_after_nats"] == metrics["calibration_nll_before_nats"]


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ({"bytes": 9, "quantisation": "q8_0"}, "the smallest shape has"),
        ({"bytes": 10**9, "quantisation": "q9"}, "no rule for 'q9'; allowed"),
    ],
)
def test_a_budget_is_refused_before_any_work(budget, says, tiny_llama, make, monkeypatch):
    monkeypatch.setattr(load, "trainable", None)  # nothing is loaded
    with pytest.raises(InputError, match=says):
        make(tiny_llama, size=0, budget=budget)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fresh": {}, "ffn_width": 64}, "ffn_width cuts a model, fresh makes a new one"),
        ({"budget": {"bytes": 9, "quantisation": "q8_0"}, "num_layers": 2}, "budget finds num_la"),
        ({"budget": {"bytes": 0, "quantisation": "q8_0"}}, "greater than or equal to 1"),
        ({"budget": {"bytes": 9, "quantisation": []}}, "at least 1 item"),
    ],
)
def test_ways_to_cut_that_do_not_go_together_are_refused(changes, says):
    with pytest.raises(ValidationError, match=says):
        Params(**(SETTINGS | changes))


def test_a_width_that_does_not_divide_is_refused_before_any_work(tiny_llama, make):
    with pytest.raises(InputError, match="ffn_width is 50; allowed are multiples of 32"):
        make(tiny_llama, size=0, ffn_width=50)
