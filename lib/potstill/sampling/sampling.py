"""Ask the teacher: batched on this machine, or through any OpenAI-compatible endpoint.

Answers are kept as they come, with the reason they ended; judging them is `curate`'s work.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from potstill import files
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer

Ask = Callable[[Sequence[dict[str, Any]]], list[dict[str, Any]]]


def sample(rows: list[dict[str, Any]], ask: Ask, *, batch_rows: int, scratch: Path) -> list[dict]:
    """Return one answer a row, in the rows' order; finished batches survive a crash.

    Args:
        rows: {"id", "messages"}.
        ask: answers a batch with {"text", "finish": "stop" | "length"} for each row.
        batch_rows: rows a call; rows of similar length are asked together.
        scratch: folder of finished batches.
    """
    order = sorted(rows, key=lambda row: (-len(str(row["messages"])), row["id"]))
    answers: dict[str, dict[str, Any]] = {}
    starts = range(0, len(order), batch_rows)
    for start in track(starts, "sample teacher", transient=True):
        path = scratch / f"batch-{start:06d}.json"
        batch = order[start : start + batch_rows]
        if not path.exists():
            found = ask(batch)
            files.write_json(
                path, [{**row, **answer} for row, answer in zip(batch, found, strict=True)]
            )
        for row in json.loads(path.read_text(encoding="utf-8")):
            answers[row["id"]] = row
    return [answers[row["id"]] for row in rows]


def local(checkpoint: Path, *, max_tokens: int, temperature: float, seed: int, threads: int) -> Ask:
    """Return a back end that runs the checkpoint here through transformers' `generate`."""
    import torch

    from potstill.loading import load

    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = load.causal_lm(checkpoint, dtype, device)
    tokenizer = ChatTokenizer(checkpoint)
    stops = sorted(tokenizer.stop_ids)
    how = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}

    def ask(batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        prompts = [tokenizer.encode(tokenizer.render(row["messages"])) for row in batch]
        length = max(map(len, prompts))
        ids_BT = torch.tensor([[stops[0]] * (length - len(p)) + p for p in prompts], device=device)
        mask_BT = torch.tensor(
            [[0] * (length - len(p)) + [1] * len(p) for p in prompts], device=device
        )
        torch.manual_seed(int(files.row_id(str(seed), batch[0]["id"]), 16) % 2**63)
        output = model.generate(
            ids_BT,
            attention_mask=mask_BT,
            max_new_tokens=max_tokens,
            eos_token_id=stops,
            pad_token_id=stops[0],
            **how,
        )
        return [_answer(tokenizer, ids) for ids in output[:, length:].tolist()]

    return ask


def _answer(tokenizer: ChatTokenizer, ids: list[int]) -> dict[str, Any]:
    ends = [place for place, token in enumerate(ids) if token in tokenizer.stop_ids]
    finish = "stop" if ends else "length"
    return {"text": tokenizer.decode(ids[: ends[0]] if ends else ids), "finish": finish}


def endpoint(
    url: str, model: str, *, max_tokens: int, temperature: float, seed: int, api_key: str
) -> Ask:
    """Return a back end that asks an OpenAI-compatible server (vLLM, SGLang, llama.cpp).

    Raises:
        InputError: the server does not answer or refuses.
    """
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    client = httpx.Client(base_url=url, timeout=600, headers=headers)

    def one(row: dict[str, Any]) -> dict[str, Any]:
        body = {
            "model": model,
            "messages": row["messages"],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        try:
            reply = client.post("chat/completions", json=body)
            reply.raise_for_status()
            choice = reply.json()["choices"][0]
            return {"text": choice["message"]["content"], "finish": choice["finish_reason"]}
        except (httpx.HTTPError, KeyError, IndexError, ValueError) as error:
            raise InputError(
                f"{url} did not answer as an OpenAI-compatible server "
                f"({type(error).__name__}: {error}): check sample_teacher.backend and .model"
            ) from None

    def ask(batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(len(batch)) as pool:
            return list(pool.map(one, batch))

    return ask
