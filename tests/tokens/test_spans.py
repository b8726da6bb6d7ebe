"""Rows become ids and weighted spans; what cannot be told apart is rejected with its reason."""

import json
import shutil
from pathlib import Path

import pytest
import trl
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples, spans

QWEN = (Path(trl.__file__).parent / "chat_templates/qwen2_5.jinja").read_text(encoding="utf-8")
QUESTION = {"role": "user", "content": "Weather in Zürich?"}
CALL = {"function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}}
ASKS = {"role": "assistant", "content": "I use get_weather.", "tool_calls": [CALL]}
TOLD = {"role": "tool", "name": "get_weather", "content": "sunny"}
SAYS = {"role": "assistant", "content": "It is sunny."}


@pytest.fixture
def chat(tiny_qwen2, tmp_path):
    out = shutil.copytree(tiny_qwen2, tmp_path / "model")
    (out / "chat_template.jinja").write_text(QWEN)
    return ChatTokenizer(out)


def texts(chat, ids, found):
    return [(chat.tokenizer.decode(ids[a:b], skip_special_tokens=False), w) for a, b, w in found]


def test_without_weights_the_last_message_is_the_answer(chat):
    ids, found = spans.tokenise(chat, {"messages": [QUESTION, SAYS]})
    assert texts(chat, ids, found) == [("It is sunny.<|im_end|>", 1.0)]
    prompt = chat.encode(chat.render([QUESTION]))
    assert ids[: len(prompt)] == prompt
    assert found == [(len(prompt), len(ids), 1.0)]


def test_several_turns_and_the_parts_of_a_call_have_their_weights(chat):
    weights = {"turn": 0.5, "name": 2.0, "arguments": 3.0}
    row = {"messages": [QUESTION, {**ASKS, "weights": weights}, TOLD, {**SAYS, "weights": {}}]}
    ids, found = spans.tokenise(chat, row)
    told = texts(chat, ids, found)
    assert "".join(text for text, w in told if w == 2.0) == "get_weather"
    arguments = "".join(text for text, w in told if w == 3.0)
    assert json.loads(arguments[: arguments.rindex("}") + 1]) == CALL["function"]["arguments"]
    assert "".join(text for text, w in told if w == 1.0) == "It is sunny.<|im_end|>"
    assert told[0][1] == 0.5
    assert "sunny<|im_end|>" not in told[0][0]  # what the tool says is not the model's
    read = chat.encode(chat.render(row["messages"][:3]))
    assert ids[: len(read)] == read  # exactly what a runtime reads before the last turn


def test_a_part_of_weight_zero_is_left_out(chat):
    row = {"messages": [QUESTION, {**ASKS, "weights": {"turn": 0, "arguments": 1}}]}
    ids, found = spans.tokenise(chat, row)
    assert len(found) == 1
    assert "Zürich" in texts(chat, ids, found)[0][0]


@pytest.mark.parametrize("answer", ["\nx = 1", "\n\n\nx", " x", "", "x\n", "é\u0301"])
def test_the_prompt_is_what_a_runtime_reads_whatever_the_answer(chat, answer):
    ids, found = spans.tokenise(
        chat, {"messages": [QUESTION, {"role": "assistant", "content": answer}]}
    )
    prompt = chat.encode(chat.render([QUESTION]))
    assert ids[: len(prompt)] == prompt
    assert found[0][0] == len(prompt)
    assert ids[-1] in chat.stop_ids


@pytest.mark.parametrize(
    ("template", "row", "reason"),
    [
        (QWEN, [QUESTION], "no_answer"),
        (QWEN, [SAYS], "no_answer"),
        ("{{ raise_exception('no') }}", [QUESTION, SAYS], "template_refuses"),
        ("{{ messages | length }}", [QUESTION, SAYS], "prompt_is_no_prefix"),
        (
            "{% for m in messages %}{{ m.content }}{% endfor %}",
            [QUESTION, SAYS],
            "no_end_token",
        ),
        (
            "{% for m in messages %}{{ m.content[: messages | length] }}<|im_end|>{% endfor %}",
            [QUESTION, {**SAYS, "weights": {}}, QUESTION, {**SAYS, "weights": {}}],
            "prompt_is_no_prefix",
        ),
        (
            "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}",
            [QUESTION, {**ASKS, "weights": {"name": 2.0}}],
            "part_not_found",
        ),
    ],
)
def test_what_is_not_consistent_is_rejected_with_its_reason(
    tiny_qwen2, tmp_path, template, row, reason
):
    out = shutil.copytree(tiny_qwen2, tmp_path / "model")
    (out / "chat_template.jinja").write_text(template)
    with pytest.raises(spans.RejectedError, match=f"^{reason}$"):
        spans.tokenise(ChatTokenizer(out), {"messages": row})


def test_a_rows_key_goes_by_its_ids_and_places_and_not_by_weights():
    one = examples.Example((1, 2, 3, 4), ((1, 2, 1.0), (2, 4, 2.0)), "g")
    same = examples.Example((1, 2, 3, 4), ((1, 4, 1.0),), "h")
    other = examples.Example((1, 2, 3, 4), ((1, 2, 1.0), (3, 4, 1.0)), "g")
    assert one.key == same.key != other.key
    assert (one.num_answer_tokens, one.total_weight) == (3, 5.0)
    assert examples.weights([same]) is None
    assert examples.weights([one, same]).tolist() == [1, 2, 2, 1, 1, 1]
