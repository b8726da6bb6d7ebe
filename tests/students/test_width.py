"""A narrower model is its source with the parts that go masked, in every family and runtime."""

import itertools

import numpy as np
import pytest
import torch
from potstill import runtime
from potstill.errors import InputError
from potstill.export import build
from potstill.loading import load
from potstill.models import checkpoint, families
from potstill.students import depth, width
from potstill.students.width import Kept, Widths
from potstill.tokens import packing

from tests.students.test_depth import ROWS
from tests.tiny_models import CASES

CPU = torch.device("cpu")
BATCHES = [packing.pack(ROWS)]


def sizes(folder):
    """Return widths that a tiny model can be cut to: some heads fewer, 32 channels."""
    config = checkpoint.read_config(folder)
    heads, groups = config["num_attention_heads"], families.num_key_heads(config)
    if not families.of(config).free_heads:
        return Widths(None, 32)
    return Widths(heads // 2 if groups == heads else heads - groups or None, 32)


def narrow(folder, out, widths=None):
    """Cut a checkpoint; return what was kept."""
    model = load.trainable(folder, CPU)
    kept, _, _ = width.choose(model, BATCHES, widths or sizes(folder))
    state, config = width.cut(checkpoint.read_state(folder), checkpoint.read_config(folder), kept)
    checkpoint.write(out, state, config, beside=folder)
    return kept


@pytest.mark.parametrize("family", CASES)
def test_the_cut_model_is_the_masked_one_here_and_in_llama_cpp(family, tiny_checkpoint, tmp_path):
    folder = tiny_checkpoint(family)
    kept = narrow(folder, tmp_path / "cut")
    ids = torch.arange(3, 40)[None]
    whole = load.causal_lm(folder, torch.float32, CPU)
    with torch.no_grad(), width.masked(whole, kept):
        want = whole(ids).logits
    student = load.causal_lm(tmp_path / "cut", torch.float32, CPU)
    with torch.no_grad():
        found = student(ids).logits
        other = whole(ids).logits
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)
    assert (other - want).abs().max() > 1e-3, "nothing was cut"
    families.check(checkpoint.read_config(tmp_path / "cut"))
    build.build(tmp_path / "cut", tmp_path / "gguf", format="gguf", quantisation="f16")
    build.build(tmp_path / "cut", tmp_path / "onnx", format="onnx", quantisation="fp32")
    for made, most in (("gguf", 0.05), ("onnx", 1e-3)):
        model = runtime.load(tmp_path / made)
        scores = model.logits(ids[0].tolist())
        model.close()
        assert np.abs(scores - found[0].numpy()).max() < most, made


def test_a_family_whose_heads_must_fill_its_width_keeps_them(tiny_qwen2):
    config = checkpoint.read_config(tiny_qwen2)
    with pytest.raises(InputError, match="cut ffn_width and num_layers instead"):
        Widths(num_heads=config["num_key_value_heads"]).check(config)
    Widths(num_heads=config["num_attention_heads"]).check(config)
    Widths(ffn_width=50).check(config | {"intermediate_size": 50})  # its own


def test_heads_whose_rows_would_not_be_quantised_are_refused(tiny_llama):
    config = checkpoint.read_config(tiny_llama) | {"num_attention_heads": 8, "head_dim": 16}
    Widths(num_heads=4).check(config)
    config |= {"num_attention_heads": 12, "head_dim": 8, "num_key_value_heads": 3}
    with pytest.raises(InputError, match="num_heads is 9, 72 channels: rows that are no multiple"):
        Widths(num_heads=9).check(config)


def test_keeping_all_changes_nothing(tiny_llama, tmp_path):
    config = checkpoint.read_config(tiny_llama)
    kept = narrow(tiny_llama, tmp_path / "cut", Widths())
    assert kept[0] == Kept(list(range(config["num_attention_heads"])),
                           list(range(config["intermediate_size"])))  # fmt: skip
    before, after = (checkpoint.read_state(p) for p in (tiny_llama, tmp_path / "cut"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_scores_are_what_the_papers_say(tiny_llama):
    """Written out: each head's part of every output, one token and one head at a time."""
    model = load.trainable(tiny_llama, CPU)
    scores = width._measured(model, BATCHES)
    ids = torch.tensor([row.ids for row in ROWS])
    mask = torch.zeros(len(ROWS), ids.shape[1] - 1, dtype=torch.bool)
    for number, row in enumerate(ROWS):
        for start, end, _ in row.spans:
            mask[number, start - 1 : end - 1] = True
    seen = {}
    parts = {"o": model.model.layers[1].self_attn.o_proj, "d": model.model.layers[1].mlp.down_proj}
    hooks = [part.register_forward_pre_hook(lambda _, x, n=n: seen.__setitem__(n, x[0]))
             for n, part in parts.items()]  # fmt: skip
    logits = model(ids).logits[:, :-1]
    for hook in hooks:
        hook.remove()
    loss = torch.nn.functional.cross_entropy(logits[mask], ids[:, 1:][mask], reduction="sum")
    slope = torch.autograd.grad(loss, seen["o"])[0]
    size = families.head_dim(model.config.to_dict())
    heads = torch.zeros(model.config.num_attention_heads)
    used = torch.zeros(model.config.intermediate_size)
    for row, token in mask.nonzero().tolist():
        for head in range(len(heads)):
            part = slice(head * size, (head + 1) * size)
            heads[head] += (
                (seen["o"][row, token, part] * slope[row, token, part]).sum().abs().detach()
            )
        used += seen["d"][row, token].detach().abs()
    norms = parts["d"].weight.detach().norm(dim=0)
    torch.testing.assert_close(scores.heads_LH[1], heads, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scores.channels_LF[1], used * norms, rtol=1e-4, atol=1e-5)


def test_heads_and_channels_may_be_scored_differently(tiny_llama):
    """Heads that write much but change nothing; channels whose weights say what their use hides."""
    model = load.trainable(tiny_llama, CPU)
    kept, losses, way = width.choose(model, BATCHES, sizes(tiny_llama))
    ways = {"_".join(pair) for pair in itertools.product(width.WAYS, width.WAYS)}
    assert {name.removeprefix("nll_") for name in losses} == ways
    assert losses[f"nll_{way}"] == min(losses.values())
    heads, channels = (
        width._best(scores, model.config.to_dict(), sizes(tiny_llama))
        for scores in (
            {
                "measured": width._measured,
                "weights": lambda m, _: width._of_weights(m, m.config.to_dict()),
            }[one](model, BATCHES)
            for one in way.split("_")
        )
    )
    assert [one.heads for one in kept] == [one.heads for one in heads]
    assert [one.channels for one in kept] == [one.channels for one in channels]


def test_parts_that_write_nothing_go_first_and_the_better_way_is_taken(tiny_llama):
    model = load.trainable(tiny_llama, CPU)
    dead = {0: (1, 5), 1: (3, 9)}  # of each layer a head and a channel
    with torch.no_grad():
        size = families.head_dim(model.config.to_dict())
        for n, (head, channel) in dead.items():
            layer = model.model.layers[n]
            layer.self_attn.o_proj.weight[:, head * size : (head + 1) * size] = 0
            layer.mlp.down_proj.weight[:, channel] = 0
            layer.mlp.up_proj.weight[channel] *= 1e4  # what looks at weights alone may err
    width_ = model.config.intermediate_size
    scores = width._measured(model, BATCHES)
    for n, (head, channel) in dead.items():
        assert scores.heads_LH[n].argmin() == head
        assert scores.channels_LF[n].argmin() == channel
    kept, losses, way = width.choose(model, BATCHES, Widths(ffn_width=width_ // 32 * 32 - 32 or 32))
    assert losses[f"nll_{way}"] == min(losses.values())
    with width.masked(model, kept):
        assert depth.mean_nll(model, BATCHES) == pytest.approx(losses[f"nll_{way}"])


@pytest.mark.parametrize(
    ("widths", "says"),
    [
        (Widths(num_heads=3), "num_heads is 3; allowed are multiples of"),
        (Widths(num_heads=0), "num_heads is 0; allowed"),
        (Widths(num_heads=64), "num_heads is 64; allowed"),
        (Widths(ffn_width=48), "ffn_width is 48; allowed are multiples of 32"),
        (Widths(ffn_width=0), "ffn_width is 0; allowed"),
        (Widths(ffn_width=1 << 20), "ffn_width is 1048576; allowed"),
    ],
)
def test_a_width_that_does_not_divide_is_refused(widths, says, tiny_llama):
    with pytest.raises(InputError, match=says):
        widths.check(checkpoint.read_config(tiny_llama))
