"""BFCL's files become rows whose calls fit their schemas; the rest is counted by reason."""

import json

import pytest
from potstill.data import bfcl, tool_formats, tools
from potstill.errors import InputError
from potstill.mining import places

pytest.importorskip("jsonschema")
AREA = {
    "name": "geometry.area",
    "description": "Area.",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "float"},
            "sides": {"type": "array", "items": {"type": "tuple", "items": {"type": "any"}}},
            "unit": {"type": "string", "enum": ["m", "cm"]},
            "more": {"type": "dict", "properties": {"depth": {"type": "integer"}}},
        },
        "required": ["base"],
    },
}


def question(name, text="How large?"):
    return {"id": name, "question": [[{"role": "user", "content": text}]], "function": [AREA]}


def answer(name, *calls):
    return {"id": name, "ground_truth": [{"geometry.area": call} for call in calls]}


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")


@pytest.fixture
def place(tmp_path):
    data = tmp_path / "bfcl_eval/data"
    write(data / "BFCL_v4_simple_python.json", [question(n) for n in ("a", "bad", "lost", "b")])
    more = [{"depth": [3], "left": [""]}]
    right = [
        answer("a", {"base": [2.5, 3], "unit": ["m", ""], "sides": [[[1, "x"]]], "more": more}),
        answer("bad", {"base": ["large"]}),
        answer("b", {"base": [1], "unit": ["cm"], "more": []}, {"base": [2]}),
    ]
    write(data / "possible_answer/BFCL_v4_simple_python.json", right)
    write(data / "BFCL_v4_irrelevance.json", [question("none")])
    write(data / "BFCL_v4_web_search.json", [question("other")])
    write(data / "unused_datasets/question/BFCL_v4_multiple.json", [question("old")])
    return places.find(f"folder:{tmp_path}", None)


def test_calls_are_the_first_allowed_values_and_optional_ones_are_left_out(place):
    rows, dropped = bfcl.rows(place)
    assert dropped == {"schema": 1, "no_answer": 1}
    calls = [
        [call["function"] for call in row["messages"][-1].get("tool_calls", ())] for row in rows
    ]
    assert sorted(calls, key=len) == [
        [],
        [
            {
                "name": "geometry.area",
                "arguments": {"base": 2.5, "sides": [[1, "x"]], "more": {"depth": 3}},
            }
        ],
        [
            {"name": "geometry.area", "arguments": {"base": 1, "unit": "cm"}},
            {"name": "geometry.area", "arguments": {"base": 2}},
        ],
    ]
    assert {row["messages"][-1]["content"] for row in rows} == {"", bfcl.NONE_FITS}
    assert {(row["group"], row["origin"]) for row in rows} == {("bfcl geometry.area", "bfcl")}


def test_schemas_are_json_schemas_and_pass_every_format(place):
    rows, _ = bfcl.rows(place)
    for row in rows:
        parameters = row["tools"][0]["function"]["parameters"]
        assert parameters["type"] == "object"
        assert parameters["properties"]["base"] == {"type": "number"}
        assert parameters["properties"]["sides"]["items"] == {"type": "array", "items": {}}
        tools.check(row)
        for name in ("fenced_json", "hermes", "qwen3_coder"):
            made = tool_formats.from_native(row, name)
            assert tool_formats.to_native(made, name) == row


def test_a_folder_without_the_data_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no file BFCL_v4_simple_python\.json"):
        bfcl.rows(places.find(f"folder:{tmp_path}", None))
