"""Likelihood of answers against torch's own, in nats a token and in bits a byte."""

import math

import pytest
import torch
from potstill.distill import likelihood
from potstill.loading import load
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples, spans
from potstill.tokens.examples import Example

ROWS = [
    Example((5, 9, 14, 3, 8), ((2, 5, 1.0),), "a"),
    Example((7, 7, 30), ((1, 3, 1.0),), "b"),
    Example((11, 4, 9, 60, 2, 44, 8), ((3, 7, 1.0),), "c"),
    Example((5, 9, 14, 3, 9), ((2, 5, 1.0),), "a"),
]


def test_the_likelihood_equals_torchs_and_has_an_interval(tiny_llama):
    model = load.causal_lm(tiny_llama, torch.float32, torch.device("cpu"))
    rows = likelihood.measure(model, ROWS, ChatTokenizer(tiny_llama), batch_rows=3)
    measured = likelihood.summary(rows, "test")
    assert [(row["id"], row["group"]) for row in rows] == [(row.key, row.group) for row in ROWS]
    total = 0.0
    for row in ROWS:
        start = row.spans[0][0]
        with torch.inference_mode():
            logits = model(torch.tensor([row.ids])).logits[0, start - 1 : -1]
        labels = torch.tensor(row.ids[start:])
        total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
    tokens = sum(row.num_answer_tokens for row in ROWS)
    assert measured["test_nll_nats"] == pytest.approx(total / tokens, rel=1e-4)
    low, high = measured["test_nll_nats_low"], measured["test_nll_nats_high"]
    assert low < measured["test_nll_nats"] < high
    assert measured["test_groups"] == 3
    bits = total / math.log(2) / sum(row["bytes"] for row in rows)
    assert measured["test_bits_per_byte"] == pytest.approx(bits, rel=1e-4)
    low, high = (measured[f"test_bits_per_byte_{end}"] for end in ("low", "high"))
    assert low < measured["test_bits_per_byte"] < high


def tokenised(chat, answer, **weights):
    assistant = {"role": "assistant", "content": answer}
    if weights:
        assistant["weights"] = weights
    messages = [{"role": "user", "content": "wrap a text"}, assistant]
    ids, places = spans.tokenise(chat, {"messages": messages})
    return Example(tuple(ids), tuple(places), "g")


ANSWERS = ["def f(x):\n    return x", "naïve café 日本語 🙂", "a", "  indented,  twice  "]


@pytest.mark.parametrize("family", ["llama", "llama3", "qwen2", "qwen3"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_bytes_are_those_of_the_answer_in_every_tokenizer(tiny_checkpoint, family, answer):
    """Its end token is trained on and is no text; the prompt is not trained on."""
    chat = ChatTokenizer(tiny_checkpoint(family))
    row = tokenised(chat, answer)
    assert row.ids[row.spans[-1][1] - 1] in chat.stop_ids
    assert examples.num_bytes(row, chat) == len(answer.encode())


@pytest.mark.parametrize("family", ["llama2", "mistral"])
@pytest.mark.parametrize("answer", ANSWERS[:3])
def test_a_template_may_add_the_space_before_an_answer(tiny_checkpoint, family, answer):
    chat = ChatTokenizer(tiny_checkpoint(family))
    found = examples.num_bytes(tokenised(chat, answer), chat)
    assert found - len(answer.encode()) in (0, 1)


def test_spans_that_touch_are_read_as_one_text(tiny_llama):
    """Weights cut an answer into spans, and a letter of several bytes into tokens."""
    chat = ChatTokenizer(tiny_llama)
    row = tokenised(chat, "日本語 🙂")
    (start, end, _) = row.spans[0]
    cut = tuple((at, at + 1, 1.0 + at % 2) for at in range(start, end))
    assert len(cut) > 4
    assert examples.num_bytes(Example(row.ids, cut, "g"), chat) == len("日本語 🙂".encode())


def test_an_answer_of_no_text_has_a_place_in_the_ratio(tiny_llama):
    chat = ChatTokenizer(tiny_llama)
    assert examples.num_bytes(tokenised(chat, ""), chat) == 1
