"""Parity: an exact artefact passes, and each kind of injected fault is caught and named."""

import json
import shutil

import numpy as np
import pytest
import torch
from potstill import runtime
from potstill.errors import InputError
from potstill.export import build
from potstill.loading.load import ReferenceModel
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.proving import parity, reference
from potstill.proving.parity import Settings

RECORDED = reference.Settings(texts=3, max_length=40, greedy_prompts=2, greedy_tokens=6, threads=2)
STRICT = Settings(
    margin_logits=0.05,
    min_agreement=0.98,
    max_kl_nats=0.01,
    max_nll_difference_nats=0.01,
    context=256,
    threads=2,
)
CHATS = [
    [{"role": "user", "content": f"text {n}"}, {"role": "assistant", "content": answer}]
    for n, answer in enumerate(
        [
            "def wrap(text, width):\n    return 12",
            "naïve 🙂 日本 \t x",
            "the width of the text is" * 9,
        ]
    )
]


@pytest.fixture(scope="module")
def artefact(tiny_llama, tmp_path_factory):
    out = tmp_path_factory.mktemp("artefacts") / "f16"
    build.build(tiny_llama, out, format="gguf", quantisation="f16")
    return out


@pytest.fixture
def compare(artefact, tmp_path):
    """Return a function that compares the artefact with the behaviour of some checkpoint."""

    def run(folder):
        reference.record(
            ReferenceModel(folder, 1), folder, CHATS, tmp_path / "r.safetensors", RECORDED
        )
        model = runtime.load(artefact, context=256)
        try:
            want = reference.read(tmp_path / "r.safetensors")
            return parity.compare(model, ChatTokenizer(artefact).template, want, STRICT)
        finally:
            model.close()

    return run


def changed(tiny_llama, tmp_path, change):
    """Return a copy of the checkpoint whose weights went through `change`."""
    state = checkpoint.read_state(tiny_llama)
    change(state)
    checkpoint.write(tmp_path / "c", state, checkpoint.read_config(tiny_llama), beside=tiny_llama)
    return tmp_path / "c"


def test_the_exact_artefact_passes(compare, tiny_llama):
    metrics = compare(tiny_llama)
    assert metrics["verdict"] == "pass", metrics["reason"]
    assert metrics["tokenizer_equal_share"] == 1
    assert metrics["greedy_equal_share"] == 1
    assert metrics["n_tokens"] > 60
    assert metrics["top1_agreement_low"] <= metrics["top1_agreement"]


def test_a_changed_weight_row_is_caught(compare, tiny_llama, tmp_path):
    def change(state):
        state["model.layers.1.mlp.down_proj.weight"][3] += 0.4

    metrics = compare(changed(tiny_llama, tmp_path, change))
    assert metrics["verdict"] == "fail"
    assert "kl_mean_nats" in metrics["reason"] or "agreement" in metrics["reason"]


def test_swapped_heads_are_caught(compare, tiny_llama, tmp_path):
    def change(state):
        name = "model.layers.0.self_attn.q_proj.weight"
        state[name] = torch.cat([state[name][16:32], state[name][:16], state[name][32:]])

    assert compare(changed(tiny_llama, tmp_path, change))["verdict"] == "fail"


def test_another_chat_template_is_caught(compare, tiny_llama, tmp_path):
    copy = shutil.copytree(tiny_llama, tmp_path / "c")
    (copy / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    assert "chat template" in compare(copy)["reason"]


def test_a_dropped_merge_is_caught(compare, tiny_llama, tmp_path):
    copy = shutil.copytree(tiny_llama, tmp_path / "c")
    path = copy / "tokenizer.json"
    state = json.loads(path.read_text())
    full = ChatTokenizer(copy)
    used = {full.tokenizer.id_to_token(i) for c in CHATS for i in full.encode(c[1]["content"])}
    merges = state["model"]["merges"]
    state["model"]["merges"] = [m for m in merges if "".join(m) not in used]
    path.write_text(json.dumps(state))
    assert "tokenizer_equal_share" in compare(copy)["reason"]


def test_another_stop_token_is_caught(compare, tiny_llama, tmp_path):
    copy = shutil.copytree(tiny_llama, tmp_path / "c")
    path = copy / "tokenizer_config.json"
    path.write_text(
        path.read_text().replace('"eos_token": "<|im_end|>"', '"eos_token": "<|endoftext|>"')
    )
    assert "stops at" in compare(copy)["reason"]


class Scripted:
    """A runtime whose greedy answer is given."""

    def __init__(self, made: list[int]) -> None:
        self.made = made

    def generate(self, requests: list[runtime.Request]) -> list[runtime.Answer]:
        return [runtime.Answer(self.made[: r.max_tokens], "", "length") for r in requests]


@pytest.mark.parametrize(
    ("made", "want", "share"),
    [
        ([5, 6, 7], [5, 6, 7], 1.0),
        ([5, 6, 7, 8], [5, 6, 7], 1.0),
        ([5, 9, 7], [5, 6, 7], 1 / 3),
        ([5, 6], [5, 6, 7, 8], 0.5),
        ([5, 6], [5, 6, 2], 1.0),  # both stop
        ([5, 6, 7], [5, 6, 2], 2 / 3),  # the artefact goes on
        ([], [2], 1.0),
        ([], [5, 2], 0.0),
        ([5], [2], 0.0),
    ],
)
def test_greedy_answers_are_equal_up_to_the_first_difference(made, want, share):
    answer = reference.Answer(prompt=[1], ids=want)
    assert parity.equal_share(Scripted(made), answer, frozenset({2})) == share


def test_a_reference_of_another_checkpoint_is_refused(artefact, tiny_llama, tmp_path):
    copy = shutil.copytree(tiny_llama, tmp_path / "c")
    (copy / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    reference.record(ReferenceModel(copy, 1), copy, CHATS, tmp_path / "r.safetensors", RECORDED)
    with pytest.raises(InputError, match="not of the checkpoint that"):
        parity.check(artefact, tmp_path / "r.safetensors", STRICT)


def test_equal_logits_have_no_divergence_and_sums_equal_brute_force():
    generator = np.random.default_rng(0)
    got, want = generator.normal(size=(2, 5, 11)).astype(np.float32)
    ids = [1, 4, 10, 0, 7]
    same = parity.compare_text(ids, want, want, 0.0)
    assert (same.top1, same.agreed, same.positions) == (4, 4, 4)
    assert same.kl == pytest.approx(0, abs=1e-9)
    other = parity.compare_text(ids, got, want, 1e9)
    p, q = (torch.log_softmax(torch.tensor(x[:-1]).double(), -1) for x in (want, got))
    assert other.kl == pytest.approx((p.exp() * (p - q)).sum().item())
    assert other.nll == pytest.approx(-sum(q[t, ids[t + 1]].item() for t in range(4)))
    assert other.agreed == 4
    assert other.top1 == int((p.argmax(-1) == q.argmax(-1)).sum())


def test_rows_that_a_runtime_pads_do_not_count():
    want = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    padded = np.concatenate([want, np.full((3, 4), 50.0, np.float32)], axis=1)
    assert parity.compare_text([0, 1, 2], padded, want, 0.0).kl == pytest.approx(0, abs=1e-9)


def test_a_value_that_is_not_a_number_fails():
    names = ("agreement", "kl_mean_nats", "nll_difference_nats", "tokenizer_equal_share")
    for name in names:
        good = {
            "agreement": 1.0,
            "kl_mean_nats": 0.0,
            "nll_difference_nats": 0.0,
            "tokenizer_equal_share": 1.0,
        }
        assert parity._reasons(good, STRICT) == []
        assert parity._reasons(good | {name: float("nan")}, STRICT)
