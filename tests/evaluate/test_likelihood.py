"""The likelihood of references by the artefact's runtime, against sums by hand and torch."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from potstill import runtime
from potstill.distill import likelihood as trained
from potstill.errors import InputError
from potstill.evaluate import likelihood, methods
from potstill.loading import load
from potstill.models import formats
from potstill.models.chat import ChatTokenizer
from potstill.tasks import TASKS, Where
from potstill.tokens import spans
from potstill.tokens.examples import Example


def problems_of(bench):
    return {item.id: item for item in TASKS["likelihood"].problems(Where(prompts=bench.prompts))}


def test_it_is_the_sum_over_the_answers_tokens_and_nothing_else(bench):
    metrics, rows = bench.score({"likelihood": 8})
    problems, chat = problems_of(bench), ChatTokenizer(bench.artefact)
    model = runtime.load(bench.artefact, context=512)
    nats, tokens, count = 0.0, 0, 0
    for row in rows:
        item = problems[row["id"]]
        prompt = chat.encode(chat.render(item.messages))
        answer = chat.encode(f"{item.reference}<|im_end|>")
        logits = model.logits([*prompt, *answer]).astype(np.float64)
        own = 0.0
        for place, index in enumerate(answer, len(prompt)):
            own += math.log(sum(math.exp(x) for x in logits[place - 1])) - logits[place - 1, index]
        assert row["nll_nats"] == pytest.approx(own, abs=1e-5)
        assert (row["tokens"], row["bytes"]) == (len(answer), len(item.reference.encode()))
        nats, tokens, count = nats + own, tokens + len(answer), count + row["bytes"]
    model.close()
    assert metrics["likelihood.verdict"] == "run"
    assert metrics["likelihood.perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-6)
    assert metrics["likelihood.bits_per_byte"] == pytest.approx(nats / math.log(2) / count, 1e-6)
    assert metrics["likelihood.tokens"] == tokens
    assert metrics["likelihood.left_out"] == 0
    low, high = metrics["likelihood.perplexity.low"], metrics["likelihood.perplexity.high"]
    assert low < metrics["likelihood.perplexity"] < high
    assert "likelihood.max_tokens" not in metrics  # nothing is written


def test_a_float_artefact_finds_what_its_checkpoint_found_in_training(bench, tiny_llama):
    _, rows = bench.score({"likelihood": 6})
    problems, chat = problems_of(bench), ChatTokenizer(tiny_llama)
    model = load.causal_lm(tiny_llama, torch.float32, torch.device("cpu"))
    for row in rows:
        item = problems[row["id"]]
        messages = formats.answered(item.messages, item.reference)
        ids, parts = spans.tokenise(chat, {"messages": messages})
        (own,) = trained.measure(
            model, [Example(tuple(ids), tuple(parts), "g")], chat, batch_rows=1
        )
        assert (row["tokens"], row["bytes"]) == (own["tokens"], own["bytes"])
        assert row["nll_nats"] == pytest.approx(own["nll_nats"], rel=2e-3)  # weights of 16 bits


def test_the_interval_is_of_families_and_parts_are_told(bench):
    metrics, rows = bench.score({"likelihood": 40})
    for name in ("code", "plan"):
        part = [row for row in rows if row["format"] == name]
        label = f"likelihood.perplexity[format={name}]"
        nats = sum(row["nll_nats"] for row in part) / sum(row["tokens"] for row in part)
        assert metrics[label] == pytest.approx(math.exp(nats), rel=1e-6)
        assert metrics[f"{label}.n"] == len(part) > 0
        assert metrics[f"{label}.unit"] == "a token"


def row(**changes):
    return {"family": "f", "nll_nats": 2.0, "tokens": 4, "bytes": 9, "reason": ""} | changes


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(), row(nll_nats=None)], "1 of 2 answers have no finite nll_nats"),
        ([row(reason="template_refuses", tokens=0)], "1 of 1 references cannot be read: template"),
        ([row()] * 9 + [row(reason="too long")], "1 of 10 references cannot be read: too long"),
        ([row(nll_nats=1e9)], "the perplexity is no number"),
    ],
)
def test_what_cannot_be_measured_is_not_run_with_the_reason(rows, message):
    with pytest.raises(methods.NothingMeasuredError, match=message):
        likelihood.measures(rows)


def test_a_few_that_cannot_be_read_are_counted():
    found = likelihood.measures([row()] * 99 + [row(reason="too long", nll_nats=None)])
    assert found.values["perplexity"].n == 99
    assert found.notes["left_out"] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_give_no_likelihood(value):
    logits = np.zeros((5, 7), np.float32)
    logits[3, 2] = value
    total = likelihood.answer_nats(logits, Example((1, 2, 3, 4, 2), ((3, 5, 1.0),), "g"))
    assert not math.isfinite(total)


def test_impossible_ids_elsewhere_change_nothing_but_their_own_weight():
    logits = np.full((5, 7), -np.inf, np.float32)
    logits[:, :3] = 0
    example = Example((1, 2, 0, 1, 2), ((3, 5, 1.0),), "g")
    assert likelihood.answer_nats(logits, example) == pytest.approx(2 * math.log(3))
    assert (
        likelihood.answer_nats(logits, dataclasses.replace(example, ids=(1, 2, 0, 1, 6))) == np.inf
    )


def test_a_runtime_that_refuses_the_ids_is_not_run(bench, monkeypatch):
    def refuse(self, ids):
        raise InputError("id 3 is outside the vocabulary")

    monkeypatch.setattr("potstill.runtime.llama_cpp.LlamaCpp.logits", refuse)
    metrics, _ = bench.score({"likelihood": 3})
    assert metrics["likelihood.verdict"] == "not-run"
    assert metrics["likelihood.reason"].endswith("cannot be read: id 3 is outside the vocabulary")
