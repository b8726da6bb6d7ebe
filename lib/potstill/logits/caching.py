"""Run the teacher once over the training rows and keep its distributions."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import track

from potstill import files
from potstill.loading.load import CausalLM
from potstill.logits import store as logit_store
from potstill.logits.topk import TopK, truncate
from potstill.tokens import examples
from potstill.tokens.examples import Example


def cache(
    teacher: CausalLM,
    rows: Sequence[Example],
    out: Path,
    *,
    k: int,
    batch_rows: int,
    dtype: torch.dtype,
    batches_per_shard: int = 16,
) -> dict[str, float]:
    """Write one shard for every few batches; shards that are there already are kept.

    Returns:
        num_rows, num_tokens, kept_mass_mean (probability inside the top k),
        bytes_per_token.
    """
    out.mkdir(parents=True, exist_ok=True)
    unique = list({row.key: row for row in rows}.values())
    batches = list(examples.by_length(unique, batch_rows))
    groups = [batches[i : i + batches_per_shard] for i in range(0, len(batches), batches_per_shard)]
    for number, group in enumerate(track(groups, "cache logits", transient=True)):
        path = out / f"shard-{number:05d}.safetensors"
        if not path.exists():
            found = [row for batch in group for row in _batch(teacher, batch, k, dtype)]
            logit_store.write_shard(path, found)
    size = sum(path.stat().st_size for path in files.files_below(out))
    num_tokens = sum(row.num_answer_tokens for row in unique)
    return {
        "num_rows": len(unique),
        "num_tokens": num_tokens,
        "bytes_per_token": round(size / num_tokens, 1),
    }


def _batch(
    teacher: CausalLM,
    batch: list[Example],
    k: int,
    dtype: torch.dtype,
) -> list[tuple[str, TopK]]:
    device = next(teacher.parameters()).device
    ids_BT, answer_BT = (tensor.to(device) for tensor in examples.collate(batch))
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)
    with torch.inference_mode(), mixed:
        hidden_BTD = teacher.model(input_ids=ids_BT, use_cache=False).last_hidden_state
        top = truncate(teacher.lm_head(examples.predicting(hidden_BTD, answer_BT)), k)
    sizes = [row.num_answer_tokens for row in batch]
    parts = [tensor.cpu().split(sizes) for tensor in (top.ids_NK, top.log_probs_NK, top.log_tail_N)]
    return [(row.key, TopK(*part)) for row, *part in zip(batch, *parts, strict=True)]


def kept_mass(store: logit_store.LogitStore, rows: Sequence[Example]) -> float:
    """Return the mean probability that the teacher puts on the cached tokens."""
    tail = store.get(row.key for row in rows).log_tail_N
    return float(1 - tail.double().exp().mean())
