"""Answers of a loaded model to several prompts at a time, through transformers' `generate`."""

from collections.abc import Sequence
from typing import Any

import torch

from potstill.loading.load import CausalLM
from potstill.models.chat import ChatTokenizer


def answers(
    model: CausalLM,
    chat: ChatTokenizer,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    **how: Any,  # noqa: ANN401 - transformers' own
) -> list[dict[str, Any]]:
    """Return {"text", "finish": "stop" | "length", "tokens"} of each prompt's answer.

    Args:
        model: in evaluation mode.
        chat: its tokenizer.
        prompts: ids of each; they are padded on the left to one length.
        max_tokens: of an answer.
        how: settings of `generate`; `do_sample=False` draws nothing.
    """
    stops = sorted(chat.stop_ids)
    length = max(map(len, prompts))
    ids_BT = torch.tensor([[stops[0]] * (length - len(p)) + list(p) for p in prompts])
    mask_BT = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts])
    output = model.generate(
        ids_BT.to(model.device),
        attention_mask=mask_BT.to(model.device),
        max_new_tokens=max_tokens,
        eos_token_id=stops,
        pad_token_id=stops[0],
        **how,
    )
    return [_answer(chat, ids) for ids in output[:, length:].tolist()]


def _answer(chat: ChatTokenizer, ids: list[int]) -> dict[str, Any]:
    ends = [place for place, token in enumerate(ids) if token in chat.stop_ids]
    made = ids[: ends[0]] if ends else ids
    finish = "stop" if ends else "length"
    return {"text": chat.decode(made), "finish": finish, "tokens": len(made)}
