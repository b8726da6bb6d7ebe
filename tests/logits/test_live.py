"""A teacher that runs gives what its store would, and is the one that the signal names."""

import shutil

import pytest
import torch
from potstill.distill import training
from potstill.distill.objective import Objective
from potstill.distill.training import Loss, batch_loss
from potstill.errors import InputError
from potstill.loading import load
from potstill.logits import caching, live, source
from potstill.logits.store import LIVE
from potstill.logits.topk import TopK, truncate
from potstill.models.chat import ChatTokenizer
from potstill.tokens import folds

from tests.distill.runs import ROWS, KilledError, dies, measures, schedule, weights_of

CPU = torch.device("cpu")


@pytest.fixture
def signal(tmp_path):
    """A function that makes the live signal of a checkpoint and opens it."""

    def run(teacher, dtype=torch.float32, **how):
        shutil.rmtree(tmp_path / "live", ignore_errors=True)
        live.write(tmp_path / "live", caching.describe(teacher, codec=LIVE, k=9, seed=3, **how))
        return source.open_source(tmp_path / "live", dtype, CPU)

    return run


@pytest.fixture
def student(tiny_llama):
    """A student whose distributions are not its teacher's."""
    model = load.causal_lm(tiny_llama, torch.float32, CPU)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model


class Whole:
    """The teacher's top tokens, all of them, each row run alone and nothing rounded."""

    def __init__(self, direct):
        self.direct = direct

    def signal_of(self, rows):
        tops = [truncate(self.direct(row), 509) for row in rows]
        return TopK(*(torch.cat([getattr(t, n) for t in tops]) for n in TopK.__dataclass_fields__))


@pytest.mark.parametrize(
    "how", [{}, {"temperature": 2.0}, {"name": "reverse_kl"}, {"name": "jensen_shannon"},
            {"margin": 0.2}]
)  # fmt: skip
def test_live_is_the_loss_of_all_top_tokens(signal, student, tiny_llama, rows, direct, how):
    objective = Objective(**{"alpha": 0.3, "chunk_tokens": 5, **how})
    losses, slopes = [], []
    for teacher in (signal(tiny_llama), Whole(direct)):
        student.zero_grad()
        found = batch_loss(student, rows, Loss(objective, teacher), torch.float32)
        found.loss.backward()
        losses.append(torch.stack([found.loss, found.cross_entropy, found.divergence]).detach())
        slopes.append(student.model.embed_tokens.weight.grad.clone())
    assert losses[0][2] > 0.1
    assert torch.allclose(losses[0], losses[1], rtol=0, atol=1e-5 * len(rows) * 4)
    assert torch.allclose(slopes[0], slopes[1], rtol=1e-4, atol=1e-5)


def test_live_is_the_store_of_the_whole_vocabulary_but_for_its_rounding(
    signal, student, tiny_llama, rows, make
):
    objective = Objective(alpha=0.0)
    found = [
        batch_loss(student, rows, Loss(objective, teacher), torch.float32).divergence.item()
        for teacher in (signal(tiny_llama), make(k=509))
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-2)


def test_ids_beyond_the_students_are_cut(signal, tiny_checkpoint, rows):
    """The tiny Qwen3 has 544 rows for 531 ids, as the real ones have."""
    teacher = signal(tiny_checkpoint("qwen3"))
    logits = teacher.signal_of(rows).logits(531)
    assert logits.shape == (sum(row.num_answer_tokens for row in rows), 531)
    with pytest.raises(InputError, match="the student's head has 600 ids, the teacher's 544"):
        teacher.signal_of(rows).logits(600)


def test_nothing_of_the_teacher_is_trained(signal, student, tiny_llama, rows):
    teacher = signal(tiny_llama)
    before = {name: p.clone() for name, p in teacher._model.named_parameters()}
    loss = batch_loss(student, rows, Loss(Objective(alpha=0.0), teacher), torch.float32)
    loss.loss.backward()
    assert all(p.grad is None for p in teacher._model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in teacher._model.named_parameters())


def test_its_header_is_of_the_teacher_alone(signal, tiny_llama):
    """So another k or seed, which a live teacher does not use, leaves students as they are."""
    header = signal(tiny_llama).header
    assert (header.codec, header.version, header.k, header.seed) == (LIVE, 0, 0, 0)
    assert header.teacher == tiny_llama.as_posix()


def test_a_teacher_that_changed_or_went_is_refused(signal, tiny_llama, tmp_path):
    teacher = shutil.copytree(tiny_llama, tmp_path / "teacher")
    signal(teacher)
    config = teacher / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(InputError, match=r"is not the teacher that .*live names"):
        source.open_source(tmp_path / "live", torch.float32, CPU)
    shutil.rmtree(teacher)
    with pytest.raises(InputError, match="teacher, which is missing: run `dvc repro`"):
        source.open_source(tmp_path / "live", torch.float32, CPU)


def test_a_student_of_another_tokenizer_is_refused(signal, tiny_llama, tiny_qwen2):
    teacher = signal(tiny_llama)
    teacher.check(ChatTokenizer(tiny_llama).hashes())
    with pytest.raises(InputError, match=r"live: .* have tokenizer_sha256"):
        teacher.check(ChatTokenizer(tiny_qwen2).hashes())


def test_rows_that_it_learnt_are_refused_unless_that_is_allowed(signal, tiny_llama, tmp_path, rows):
    """Group a is of fold 1, b and c are of fold 0."""
    teacher = shutil.copytree(tiny_llama, tmp_path / "teacher")
    folds.record(teacher, [1])
    only = signal(teacher)
    for ask in (only.require, only.signal_of):
        ask([rows[2]])
        with pytest.raises(InputError, match=r"adapted on 2 of 4 rows .*folds \[1\].*allow_seen"):
            ask(rows)
    signal(teacher, allow_seen=True).require(rows)


@pytest.mark.parametrize("text", ["{}", "[]", '{"header": {"codec": "topk"}, "files": {}}'])
def test_a_folder_that_is_no_signal_is_refused(tmp_path, text):
    (tmp_path / "header.json").write_text(text)
    with pytest.raises(InputError, match=r"header\.json is not that of a signal"):
        source.open_source(tmp_path, torch.float32, CPU)


def test_a_killed_training_beside_a_teacher_goes_on_to_the_same_bytes(signal, tiny_llama, tmp_path):
    loss = Loss(Objective(alpha=0.3, chunk_tokens=16), signal(tiny_llama))
    recipe = schedule(evaluate_every=1, signal="signals/live", alpha=0.3)

    def train(name, evaluate):
        model = load.causal_lm(tiny_llama, torch.float32, CPU)
        how = {"dtype": torch.float32, "scratch": tmp_path / name}
        how["evaluate"] = measures(evaluate)
        return training.train(model, ROWS, loss, recipe, **how), weights_of(model)

    history, whole = train("whole", lambda _: 1.25)
    assert history[-1]["divergence"] > 0
    with pytest.raises(KilledError):
        train("cut", dies(4))
    again, weights = train("cut", lambda _: 1.25)
    assert again == history
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
