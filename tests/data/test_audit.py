"""A data set that is right passes; each planted fault stops it, and the row is named."""

import copy
import random

import pytest
from potstill.data import audit, dataset, tool_formats, tools
from potstill.errors import InputError

SHARES = {"code": 0.5, "plan": 0.25, "tool": 0.25}
RECIPE = dataset.Recipe(
    max_train_rows=160,
    max_validation_rows=1,
    max_test_rows=1,
    shares=SHARES,
    span_weights={},
    call_share=0.5,
    tool_format="hermes",
    plan_in_prompt=0.0,
    fenced=False,
    mined_share=0.0,
    teacher_share=0.8,
    mined_languages={},
    share_tolerance=0.1,
    seed=0,
)
TOOL = {
    "type": "function",
    "function": {
        "name": "run",
        "parameters": {
            "type": "object",
            "properties": {"n": {"type": "integer"}},
            "required": ["n"],
        },
    },
}


def row(number, name, messages, **more):
    about = {"language": "python", "origin": "reference", "group": f"g{number}"}
    return {"id": f"r{number}", "format": name, **about, "messages": messages, **more}


def plain(number, name):
    asked, said = {"role": "user", "content": "Ask."}, {"role": "assistant", "content": "x = 1"}
    return row(number, name, [asked, said])


def called(number):
    return row(
        number,
        "tool",
        [
            {"role": "user", "content": "Run it."},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [tool_formats.call("run", {"n": number})],
            },
            {"role": "tool", "name": "run", "content": f"result {number}"},
            {"role": "assistant", "content": "Done."},
        ],
        tools=[TOOL],
    )


def direct(number):
    return {**plain(number, "tool"), "tools": [TOOL]}


NATIVE = [called(n) for n in range(20)]
RESULTS = set(tools.results(NATIVE))


@pytest.fixture
def rows():
    pytest.importorskip("jsonschema")
    made = [tool_formats.from_native(each, "hermes") for each in NATIVE]
    made += [tool_formats.from_native(direct(n), "hermes") for n in range(20, 40)]
    made += [plain(n, "code") for n in range(40, 120)] + [plain(n, "plan") for n in range(120, 160)]
    random.Random(0).shuffle(made)
    return copy.deepcopy(made)


def check(rows, results=RESULTS, *, whole=True):
    audit.audit(rows, RECIPE, results, whole=whole)


def first(rows, name="code"):
    return next(each for each in rows if each["format"] == name)


def a_call(rows):
    return next(each for each in rows if tool_formats.found(each))


def said(each, text, place=-1):
    each["messages"][place]["content"] = text


def test_what_is_right_passes(rows):
    check(rows)
    check(rows[:1], whole=False)


FAULTS = {
    "no answer": (lambda r: first(r)["messages"].pop(), "does not end with the assistant's"),
    "role": (lambda r: first(r)["messages"][0].update(role="human"), "the role 'human'"),
    "empty": (lambda r: said(first(r), " \n"), "role assistant is empty"),
    "open tag": (lambda r: said(first(r), "<think>hm"), "<think> is not closed"),
    "closed tag": (lambda r: said(first(r), "hm</think>"), "</think> closes what is not open"),
    "crossed tags": (
        lambda r: said(first(r), "<think><tool_call></think></tool_call>"),
        "</think> closes what is not open",
    ),
    "open block": (lambda r: said(first(r), "```python\nx"), "a block of ``` is not closed"),
    "two formats": (
        lambda r: said(first(r), '```json\n{"name": "run", "arguments": {}}\n```'),
        "written as fenced_json; the data set has hermes",
    ),
    "unknown tool": (
        lambda r: said(
            a_call(r), '<tool_call>\n{"name": "walk", "arguments": {}}\n</tool_call>', 2
        ),
        "walk is called, and the tools are run",
    ),
    "arguments": (
        lambda r: said(
            a_call(r), '<tool_call>\n{"name": "run", "arguments": {"n": "1"}}\n</tool_call>', 2
        ),
        "a call of run: \\$.n: '1' is not of type 'integer'",
    ),
    "other call": (
        lambda r: said(
            a_call(r), '<tool_call>\n{"name": "run", "arguments": {"n": 999}}\n</tool_call>', 2
        ),
        "no tool returned",
    ),
    "made-up result": (
        lambda r: said(a_call(r), "<tool_response>\n42\n</tool_response>", 3),
        "no tool returned '42' to this call",
    ),
    "no result": (lambda r: said(a_call(r), "Hm?", 3), "the call of run has no result"),
    "not shuffled": (
        lambda r: r.sort(key=lambda each: each["format"]),
        "not shuffled: .* rows of format",
    ),
    "by language": (
        lambda r: [each.update(language="javascript") for each in r[:30]],
        "30 of 30 rows of language javascript are in its first half",
    ),
    "share": (
        lambda r: [r.remove(each) for each in list(r) if each["format"] == "plan"],
        "plan rows are 0% of the training rows, 25% are wanted",
    ),
    "calls": (
        lambda r: [
            each.update(messages=plain(0, "tool")["messages"])
            for each in r
            if tool_formats.found(each)
        ],
        "0% of the tool rows call a tool, 50% are wanted",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_stops_it(rows, name):
    plant, said_of_it = FAULTS[name]
    before = [each["id"] for each in rows]
    plant(rows)
    with pytest.raises(InputError, match=said_of_it) as caught:
        check(rows)
    is_of_all = name in ("not shuffled", "by language", "share", "calls")
    assert is_of_all or any(
        f"row {each} " in f"{caught.value} " or f"row {each}:" in str(caught.value)
        for each in before
    )


def test_a_tool_without_a_valid_schema_is_refused(rows):
    bad = called(1)
    bad["tools"] = [{"function": {"name": "run", "parameters": {"type": "dict"}}}]
    with pytest.raises(InputError, match="no JSON schema: 'dict' is not valid"):
        tools.check(bad)


def test_a_fair_shuffle_passes_whatever_its_seed(rows):
    for seed in range(50):
        random.Random(seed).shuffle(rows)
        check(rows)
