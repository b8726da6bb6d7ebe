"""The training loop: byte-equal weights whether it ran through or was killed and resumed.

Nothing of the loop has hidden state: the batches of an epoch and the learning rate of a step are
functions of (seed, epoch) and step. A checkpoint is weights, optimiser moments and the step number;
it is written under a temporary name, renamed, and trusted only with its completeness marker.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file

from potstill import files
from potstill.distill.losses import LossSums, distillation_loss
from potstill.distill.recipe import Training
from potstill.errors import InputError
from potstill.loading.load import CausalLM
from potstill.logits.store import LogitStore
from potstill.logits.topk import TopK
from potstill.tokens import examples
from potstill.tokens.examples import Example

COMPLETE = "COMPLETE"


@dataclass(frozen=True)
class Loss:
    """What is minimised; without a store only the labels are used."""

    chunk_tokens: int
    alpha: float = 1.0
    temperature: float = 1.0
    store: LogitStore | None = None


def learning_rate(recipe: Training, step: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    length = max(1, recipe.steps - recipe.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * (step - recipe.warmup_steps) / length))
    return recipe.learning_rate * (0.1 + 0.9 * cosine)


def batches(
    rows: list[Example], recipe: Training, first_step: int
) -> Iterator[list[list[Example]]]:
    """Yield the micro-batches of each step from `first_step` on, epoch after epoch."""
    per_epoch = math.ceil(len(rows) / recipe.batch_rows)
    plans: dict[int, list[list[int]]] = {}
    for step in range(first_step, recipe.steps):
        micro = []
        for number in range(step * recipe.accumulate, (step + 1) * recipe.accumulate):
            epoch, offset = divmod(number, per_epoch)
            if epoch not in plans:
                plans = {epoch: examples.order(rows, recipe.batch_rows, recipe.seed, epoch)}
            micro.append([rows[row] for row in plans[epoch][offset]])
        yield micro


def train(
    model: CausalLM,
    rows: list[Example],
    loss: Loss,
    recipe: Training,
    *,
    dtype: torch.dtype,
    scratch: Path,
    evaluate: Callable[[CausalLM], float],
) -> list[dict[str, float]]:
    """Train in place and return the history, one row a step.

    Args:
        model: a causal language model with float32 weights, on its device.
        rows: training examples.
        loss: the loss and the teacher's cache.
        recipe: steps, rows a step, learning rate, seed.
        dtype: of matrix products; bfloat16 runs under autocast.
        scratch: folder for checkpoints; a later call with the same folder goes on from them.
        evaluate: returns the held-out loss in nats a token.

    Returns:
        Rows of step, tokens (answer tokens seen), loss, ce, kl (nats a token), lr, heldout_nll.
    """
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=0.0, betas=(0.9, 0.95), weight_decay=recipe.weight_decay, fused=True
    )
    history = _resume(model, optimiser, scratch)
    first = len(history)
    tokens = int(history[-1]["tokens"]) if history else 0
    model.train()
    stream = batches(rows, recipe, first)
    with _progress() as progress:
        task = progress.add_task("train", total=recipe.steps, completed=first, info="")
        for step in range(first, recipe.steps):
            row = _step(model, optimiser, next(stream), loss, recipe, step, dtype)
            tokens += int(row.pop("answer_tokens"))
            due = recipe.evaluate_every and (step + 1) % recipe.evaluate_every == 0
            if due and step + 1 < recipe.steps:
                row["heldout_nll"] = evaluate(model)
                model.train()
            history.append({"step": step + 1, "tokens": tokens, **row})
            progress.update(task, advance=1, info=f"loss {row['loss']:.3f}", refresh=True)
            every = recipe.checkpoint_every
            if every and (step + 1) % every == 0 and step + 1 < recipe.steps:
                save_checkpoint(model, optimiser, history, scratch)
    return history


def _step(
    model: CausalLM,
    optimiser: torch.optim.Optimizer,
    micro: list[list[Example]],
    loss: Loss,
    recipe: Training,
    step: int,
    dtype: torch.dtype,
) -> dict[str, float]:
    rows = [row for part in micro for row in part]
    total = sum(row.total_weight for row in rows)
    num_tokens = sum(row.num_answer_tokens for row in rows)
    sums = {"loss": 0.0, "ce": 0.0, "kl": 0.0}
    for part in micro:
        result = batch_loss(model, part, loss, dtype)
        (result.loss / total).backward()
        sums["loss"] += result.loss.item() / total
        sums["ce"] += result.cross_entropy.item() / total
        sums["kl"] += result.kl.item() / total
    if not math.isfinite(sums["loss"]):
        raise FloatingPointError(f"loss is {sums['loss']} at step {step + 1}: lower learning_rate")
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    rate = learning_rate(recipe, step)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return {**sums, "lr": rate, "answer_tokens": float(num_tokens)}


def batch_loss(
    model: CausalLM,
    rows: list[Example],
    loss: Loss,
    dtype: torch.dtype,
) -> LossSums:
    """Return the loss sums over the answer tokens of some rows."""
    device = next(model.parameters()).device
    ids_BT, answer_BT = (tensor.to(device) for tensor in examples.collate(rows))
    teacher = _teacher_rows(loss.store, rows, device)
    weights_N = examples.weights(rows)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
        return distillation_loss(
            examples.predicting(hidden_BTD, answer_BT),
            model.lm_head,
            ids_BT[:, 1:][answer_BT[:, 1:]],
            teacher,
            alpha=loss.alpha,
            temperature=loss.temperature,
            chunk_tokens=loss.chunk_tokens,
            weights_N=weights_N.to(device) if weights_N is not None else None,
        )


def _teacher_rows(
    store: LogitStore | None, rows: list[Example], device: torch.device
) -> TopK | None:
    if store is None:
        return None
    top = store.get(row.key for row in rows)
    if not isinstance(top, TopK):
        raise InputError(f"{store.folder} holds drawn ids: set cache_logits.codec to topk")
    return top.to(device)


def row_nlls(
    model: CausalLM,
    rows: list[Example],
    *,
    batch_rows: int,
    dtype: torch.dtype,
) -> dict[str, tuple[float, int]]:
    """Return example key -> (negative log-likelihood of its answer in nats, answer tokens)."""
    device = next(model.parameters()).device
    found = {}
    model.eval()
    for batch in examples.by_length(rows, batch_rows):
        ids_BT, answer_BT = (tensor.to(device) for tensor in examples.collate(batch))
        mixed = torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)
        with torch.inference_mode(), mixed:
            hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
            logits_NV = model.lm_head(examples.predicting(hidden_BTD, answer_BT)).float()
        labels_N = ids_BT[:, 1:][answer_BT[:, 1:]]
        nll_N = torch.nn.functional.cross_entropy(logits_NV, labels_N, reduction="none")
        sizes = [row.num_answer_tokens for row in batch]
        for row, part in zip(batch, nll_N.split(sizes), strict=True):
            found[row.key] = (part.double().sum().item(), row.num_answer_tokens)
    return found


def save_checkpoint(
    model: CausalLM,
    optimiser: torch.optim.Optimizer,
    history: list[dict[str, float]],
    scratch: Path,
) -> None:
    """Write weights, optimiser moments and history; older checkpoints are deleted after it."""
    final = scratch / f"step-{len(history):08d}"
    partial = files.partial_path(final)
    files.remove(partial)
    partial.mkdir(parents=True)
    names = [name for name, _ in model.named_parameters()]
    save_file(
        {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()},
        partial / "model.safetensors",
    )
    state = optimiser.state_dict()["state"]
    moments = {
        f"{names[index]}/{key}": torch.as_tensor(value).cpu().contiguous()
        for index, entry in state.items()
        for key, value in entry.items()
    }
    save_file(moments, partial / "optimiser.safetensors")
    (partial / "history.json").write_text(json.dumps(history), encoding="utf-8")
    hashes = {path.name: files.sha256_file(path) for path in files.files_below(partial)}
    (partial / COMPLETE).write_text(json.dumps(hashes), encoding="utf-8")
    files.publish(partial, final)
    for other in scratch.glob("step-*"):
        if other != final:
            files.remove(other)


def _whole(folder: Path) -> bool:
    """Say whether a checkpoint is complete and its files hash as they did when written."""
    marker = folder / COMPLETE
    if not marker.exists():
        return False
    hashes = json.loads(marker.read_text(encoding="utf-8"))
    return all(
        (folder / name).exists() and files.sha256_file(folder / name) == value
        for name, value in hashes.items()
    )


def _resume(
    model: CausalLM, optimiser: torch.optim.Optimizer, scratch: Path
) -> list[dict[str, float]]:
    """Load the newest whole checkpoint into model and optimiser; return its history."""
    for folder in sorted(scratch.glob("step-*"), reverse=True):
        if not _whole(folder):
            continue
        weights = load_file(folder / "model.safetensors")
        moments = load_file(folder / "optimiser.safetensors")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        names = [name for name, _ in model.named_parameters()]
        state: dict[int, dict[str, torch.Tensor]] = {}
        for index, name in enumerate(names):
            keys = [key for key in moments if key.rsplit("/", 1)[0] == name]
            if keys:
                state[index] = {key.rsplit("/", 1)[1]: moments[key] for key in keys}
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        history: list[dict[str, float]] = json.loads((folder / "history.json").read_text())
        return history
    return []


def _progress() -> Progress:
    # Drawn once a step: a thread that draws ten times a second takes 5 % from the training on two
    # cores, whose threads wait for each other.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}"),
        transient=True,
        auto_refresh=False,
    )
