"""What TRL's trainers compute of the same rows, models and pairs is what is computed here.

TRL is no part of a training here (docs/facts.md says why), and so a judge of it. Not tested: speed
and memory (`benchmarks.kd`), how a killed run goes on.
"""

import copy
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from potstill.distill import optimisers, training
from potstill.distill.preference import Preference
from potstill.logits.dense import Dense
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.experimental.gkd import GKDTrainer

from tests.distill.references import N, V, draw, measured
from tests.distill.runs import LABELS, ROWS, example, run, schedule, weights_of

pytestmark = pytest.mark.slow  # the import of TRL's trainers

QUIET = {
    "use_cpu": True, "bf16": False, "report_to": "none", "save_strategy": "no",
    "logging_strategy": "no", "disable_tqdm": True, "gradient_checkpointing": False,
}  # fmt: skip


@pytest.fixture
def tokenizer(tiny_llama):
    made = AutoTokenizer.from_pretrained(tiny_llama)
    made.pad_token = made.pad_token or made.eos_token
    return made


def columns(rows):
    """Return rows as TRL's trainers take them, tokenised, with -100 where no loss is taken."""
    labels = [[-100] * len(row.ids) for row in rows]
    for row, given in zip(rows, labels, strict=True):
        for start, end in row.places():
            given[start:end] = row.ids[start:end]
    return {"input_ids": [list(row.ids) for row in rows], "labels": labels}


def assert_equal_gradients(model, other):
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, rtol=1e-4, atol=1e-6)
        assert one.grad.abs().max() > 1e-4, "nothing is compared"


def test_the_loss_of_a_step_and_its_gradients_are_those_of_the_sft_trainer(
    model, tokenizer, tmp_path
):
    other = copy.deepcopy(model)
    config = SFTConfig(tmp_path, per_device_train_batch_size=len(ROWS), **QUIET)
    trainer = SFTTrainer(
        other, config, train_dataset=Dataset.from_dict(columns(ROWS)), processing_class=tokenizer
    )
    want = trainer.compute_loss(other, next(iter(trainer.get_train_dataloader())))
    want.backward()
    found = training.batch_loss(model, ROWS, LABELS, torch.float32)
    got = found.loss / sum(row.total_weight for row in ROWS)
    got.backward()
    assert got.item() == pytest.approx(want.item(), rel=1e-5)
    assert_equal_gradients(model, other)


def test_a_training_on_labels_ends_at_the_weights_of_the_sft_trainer(model, tokenizer, tmp_path):
    """Several epochs, with the same batches, optimiser and rates; its clipping is TRL's own."""
    other, start = copy.deepcopy(model), weights_of(model)
    plan = schedule(steps=7, checkpoint_every=0, clip_norm=0.5)
    _, got = run(model, plan, tmp_path / "ours")

    order = [row for batch in training.batches(ROWS, plan, 0) for row in batch]
    optimiser = optimisers.make(other.parameters(), plan)
    for group in optimiser.param_groups:
        group["lr"] = 1.0  # times the rate of the step
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: optimisers.learning_rate(plan, plan.learning_rate, step)
    )
    config = SFTConfig(
        tmp_path / "theirs", max_steps=plan.steps, per_device_train_batch_size=plan.batch_rows,
        max_grad_norm=plan.clip_norm, train_sampling_strategy="sequential", **QUIET,
    )  # fmt: skip
    SFTTrainer(
        other, config, train_dataset=Dataset.from_dict(columns(order)),
        processing_class=tokenizer, optimizers=(optimiser, rates),
    ).train()  # fmt: skip
    for name, want in weights_of(other).items():
        moved = (want - start[name]).abs().max()
        assert moved > 1e-4
        assert (got[name] - want).abs().max() < 1e-2 * moved, name


def test_the_loss_of_preference_pairs_and_its_gradients_are_those_of_the_dpo_trainer(
    model, tokenizer, tmp_path
):
    reference = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():  # where both are equal every loss is log 2
            parameter.add_(0.02 * torch.randn_like(parameter))
    other, beta = copy.deepcopy(model), 0.3
    prompts = [[7, 8, 9], [20, 21], [30, 31, 32, 33]]
    chosen, rejected = [[40, 41, 42], [50], [60, 61]], [[70], [80, 81, 82, 83], [90, 91]]

    pairs = {"prompt_ids": prompts, "chosen_ids": chosen, "rejected_ids": rejected}
    config = DPOConfig(tmp_path, beta=beta, per_device_train_batch_size=len(prompts), **QUIET)
    texts = [{"prompt": "a", "chosen": "b", "rejected": "c"}] * len(prompts)
    trainer = DPOTrainer(
        other, reference, config, train_dataset=Dataset.from_list(texts), processing_class=tokenizer
    )
    inputs = trainer.data_collator(
        [dict(zip(pairs, pair, strict=True)) for pair in zip(*pairs.values(), strict=True)]
    )
    want = trainer.compute_loss(other, inputs)
    want.backward()

    rows = [
        replace(example(prompt + answer, len(prompt), "g"), format=name)
        for name, answers in (("chosen", chosen), ("rejected", rejected))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    preference, rows = Preference(beta, chunk_tokens=3).of(rows)
    said = preference.ask(reference, rows, torch.float32, tmp_path)
    loss = replace(LABELS, preference=replace(preference, reference=said))
    found = training.batch_loss(model, rows, loss, torch.float32)
    got = found.loss / len(prompts)
    got.backward()
    assert got.item() == pytest.approx(want.item(), rel=1e-5)
    assert abs(got.item() - 0.6931) > 1e-2, "the models are too alike to tell a sign"
    assert_equal_gradients(model, other)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize(
    ("name", "beta"), [("forward_kl", 0.0), ("reverse_kl", 1.0), ("jensen_shannon", 0.3)]
)
def test_the_divergences_are_those_of_the_gkd_trainer(name, beta, temperature):
    teacher, student = draw(N, V, seed=1), draw(N, V, seed=2)
    want = GKDTrainer.generalized_jsd_loss(
        student, teacher, beta=beta, temperature=temperature, reduction="none"
    ).sum(-1)
    how = {"name": name, "temperature": temperature, **({"beta": beta} if 0 < beta < 1 else {})}
    assert torch.allclose(measured(student, Dense(teacher), **how), want, rtol=1e-9)
