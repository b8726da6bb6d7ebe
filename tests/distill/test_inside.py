"""Answers inside the subset while a model trains: what is answered, and what is counted."""

import pytest
import torch
from potstill import subset
from potstill.distill import inside
from potstill.distill.recipe import Inside
from potstill.errors import InputError
from potstill.loading import load
from potstill.models import formats
from potstill.models.chat import ChatTokenizer
from potstill.tokens import table
from pydantic import ValidationError

from tests.distill.runs import run, schedule
from tests.stages.conftest import chat, dataset, tokens  # noqa: F401 - fixtures

NO_RETURN = """
limits: {max_bytes: 9000, max_nodes: 999, max_depth: 99, max_seconds: 5}
python: {patterns: ["return"]}
javascript: {patterns: ["return"]}
"""


@pytest.fixture
def rows(tokens, tiny_llama):  # noqa: F811
    """Rows that all ask for code; those of training and validation differ by a number."""
    return table.open(tokens / "train.arrow", ChatTokenizer(tiny_llama))


def greedy(model, row, chat_tokenizer, most):
    """Answer one prompt, without batch or padding, by the whole forward pass for each token."""
    ids = list(row.ids[: row.spans[0][0]])
    begin = len(ids)
    while len(ids) - begin < most:
        with torch.inference_mode():
            ids.append(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax().item())
        if ids[-1] in chat_tokenizer.stop_ids:
            break
    return chat_tokenizer.decode(ids[begin:])


def test_the_share_is_that_of_answers_made_one_by_one_under_the_named_policy(
    model, rows, tiny_llama, tmp_path
):
    tokenizer = ChatTokenizer(tiny_llama)
    measure = inside.watch(Inside(rows=9), rows, tokenizer, batch_rows=4)
    before = measure(model)
    run(model, schedule(steps=30, checkpoint_every=0, learning_rate=1e-2), tmp_path, rows)
    after = measure(model)
    most = -(-3 * max(row.num_answer_tokens for row in rows) // 2)
    texts = [greedy(model, row, tokenizer, most) for row in rows[:9]]
    verdicts = [subset.check("python", formats.extract_code(t)).supported for t in texts]
    assert after == {"inside_share": round(sum(verdicts) / 9, 6), "inside_n": 9}
    assert before["inside_share"] < 0.5 < after["inside_share"]
    (tmp_path / "mine.yaml").write_text(NO_RETURN)
    mine = Inside(rows=9, policy=str(tmp_path / "mine.yaml"))
    assert inside.watch(mine, rows, tokenizer, 9)(model)["inside_share"] == 0


def test_only_rows_that_ask_for_code_are_answered(tiny_llama, tmp_path):
    made = [chat(n) | {"format": "plan" if n % 2 else "reflect"} for n in range(6)]
    tokenizer = ChatTokenizer(tiny_llama)
    table.write(tmp_path / "rows.arrow", made, tokenizer, 128)
    rows = table.open(tmp_path / "rows.arrow", tokenizer)
    model = load.causal_lm(tiny_llama, torch.float32, torch.device("cpu"))
    assert inside.watch(Inside(rows=9), rows, tokenizer, 2)(model)["inside_n"] == 3
    table.write(tmp_path / "plans.arrow", [made[1]], tokenizer, 128)
    plans = table.open(tmp_path / "plans.arrow", tokenizer)
    with pytest.raises(InputError, match=r"none of 1 rows has .*'format': .*'plan'"):
        inside.watch(Inside(rows=9), plans, tokenizer, 2)


def test_a_policy_that_there_is_not_is_refused_with_the_settings():
    with pytest.raises(ValidationError, match=r"no subset policy .*did you mean edgecoder"):
        Inside(rows=1, policy="edgecode")
