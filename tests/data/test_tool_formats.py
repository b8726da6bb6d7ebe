"""Every format says what native rows hold, and gives it back; what it cannot say is refused."""

import json

import pytest
from potstill.data.tool_formats import call, found, from_native, from_text, to_native, to_text
from potstill.errors import InputError
from potstill.models import formats

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Zürich's <weather>.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {"type": "integer"},
                    "parts": {"type": "array"},
                    "any": {},
                },
            },
        },
    },
    {"type": "function", "function": {"name": "math.add", "parameters": {}}},
]
ARGUMENTS = {"city": "5", "days": 5, "parts": [{"a": None}, True, 1.5], "any": "ä\n b "}
ROW = {
    "id": "r",
    "tools": TOOLS,
    "messages": [
        {"role": "system", "content": "Be short.\n"},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [call("weather", ARGUMENTS), call("math.add", {})],
        },
        {"role": "tool", "name": "weather", "content": "sunny\n{}"},
        {"role": "tool", "name": "math.add", "content": "</tool> 3"},
        {"role": "assistant", "content": "It is sunny."},
        {"role": "user", "content": "Thanks <b>"},
        {"role": "assistant", "content": "", "tool_calls": [call("math.add", {"x": 1})]},
    ],
}
WRITTEN = ["fenced_json", "hermes", "qwen3_coder"]


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("first", [0, 1])
def test_there_and_back_nothing_is_lost(name, first):
    row = {**ROW, "messages": ROW["messages"][first:]}
    made = from_native(row, name)
    assert "tools" not in made
    assert found(made) == {name}
    assert not any(message.get("tool_calls") for message in made["messages"])
    assert {message["role"] for message in made["messages"]} == {"system", "user", "assistant"}
    assert to_native(made, name) == row
    assert from_native(to_native(made, name), name) == made
    assert from_text(to_text(made)) == made["messages"]


@pytest.mark.parametrize("one", WRITTEN)
@pytest.mark.parametrize("other", WRITTEN)
def test_any_format_becomes_any_other_by_way_of_the_native_one(one, other):
    through = from_native(to_native(from_native(ROW, one), one), other)
    assert through == from_native(ROW, other)


def test_the_texts_are_those_of_the_models():
    said = from_native(ROW, "hermes")["messages"][2]["content"]
    block = said.removeprefix("I look.\n<tool_call>\n").partition("\n</tool_call>")[0]
    assert json.loads(block) == {"name": "weather", "arguments": ARGUMENTS}
    assert "ä" in block
    xml = from_native(ROW, "qwen3_coder")["messages"][-1]["content"]
    assert xml == (
        "<tool_call>\n<function=math.add>\n<parameter=x>\n1\n</parameter>\n</function>\n</tool_call>"
    )
    result = from_native(ROW, "fenced_json")["messages"][3]
    assert result["content"].count("<tool_response>\n") == 2


def test_rows_of_old_name_their_tool_otherwise():
    old = from_native(ROW, "fenced_json")
    for message in old["messages"][1:]:
        message["content"] = message["content"].replace('{"name": ', '{"tool": ')
    assert to_native(old, "fenced_json") == ROW


@pytest.mark.parametrize("name", WRITTEN)
def test_a_row_without_tools_stays(name):
    row = {"id": "r", "messages": ROW["messages"][:2]}
    assert from_native(row, name) == row == to_native(row, name)
    assert from_native(ROW, "native") == ROW
    assert found(ROW) == {"native"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("qwen3_coder", {"city": "a\n</parameter>\nb"}),
        ("qwen3_coder", {"any": "5"}),  # of no type: a text or a number?
        ("hermes", {"city": "}\n</tool_call>"}),
    ],
)
def test_what_a_format_cannot_say_is_refused_or_comes_back(name, arguments):
    messages = [ROW["messages"][1], {"role": "assistant", "content": ""}]
    messages[1]["tool_calls"] = [call("weather", arguments)]
    row = {**ROW, "messages": messages}
    if name == "hermes":  # JSON escapes the newline
        assert to_native(from_native(row, name), name) == row
        return
    with pytest.raises(InputError, match="row r: "):
        from_native(row, name)


def test_what_cannot_be_read_is_named():
    row = from_native(ROW, "hermes")
    row["messages"][3] = {"role": "user", "content": "<tool_response>\n1\n</tool_response>"}
    with pytest.raises(InputError, match="row r: 2 calls, 1 results"):
        to_native(row, "hermes")
    row = from_native(ROW, "hermes")
    row["messages"][2]["content"] = '<tool_call>\n{"name": weather}\n</tool_call>'
    with pytest.raises(InputError, match="row r: a call of hermes cannot be read"):
        to_native(row, "hermes")
    row["messages"] = from_native(ROW, "qwen3_coder")["messages"]
    row["messages"][2]["content"] = row["messages"][2]["content"].replace("=weather", "=walk")
    with pytest.raises(InputError, match="a call of qwen3_coder cannot be read"):
        to_native(row, "qwen3_coder")


def test_text_rows_are_turns_alone():
    with pytest.raises(InputError, match="its calls are no text"):
        to_text(ROW)
    with pytest.raises(InputError, match="'lost' is in no turn"):
        from_text("<|im_start|>user\nHi<|im_end|>\nlost")


def test_tags_come_in_pairs():
    assert set(formats.DELIMITERS) >= {"<tool_call>", "</tool_call>", "</think>"}
