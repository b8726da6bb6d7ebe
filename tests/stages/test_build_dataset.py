"""The dataset: formats in their shares, and splits that share nothing."""

import itertools
from collections import Counter

import pytest
from potstill import files, splits
from potstill.data import pairs, tool_formats, tools
from potstill.errors import InputError
from potstill.models import formats

from stages.build_dataset import Params, main

SETTINGS = {
    "max_train_rows": 40,
    "max_validation_rows": 8,
    "max_test_rows": 12,
    "shares": {"code": 0.7, "plan": 0.1, "reflect": 0.1, "decompose": 0.1},
    "share_tolerance": 0.15,
    "span_weights": {},
    "call_share": 0.67,
    "tool_format": "native",
    "fenced": False,
    "plan_in_prompt": 0.5,
    "mined_share": 0.25,
    "teacher_share": 0.5,
    "mined_languages": {"python": 1.0},
    "seed": 0,
}

PROGRAM = {"code": "print(3)"}
RUN = {
    "type": "function",
    "function": {
        "name": "run_python",
        "parameters": {"type": "object", "properties": {"code": {"type": "string"}}},
    },
}


def named(split, count, prefix="family"):
    """Return the first `count` names of a split."""
    names = (f"{prefix}{n}" for n in itertools.count())
    return list(itertools.islice((n for n in names if splits.split(n) == split), count))


def row(number, origin, group):
    return {
        "id": f"{origin}{number}{group}",
        "origin": origin,
        "group": group,
        "family": group,
        "language": "python",
        "licence": "x",
        "task": f"Task {number} {origin} of {group}.",
        "plan": [f"Do {number}."] if origin == "reference" else [],
        "code": f"x = {number}\ndef f{number}():\n    return x",
        "entry_point": f"f{number}",
        "reference": f"def f{number}(): pass",
        "tests": [{"args": [], "expected": number}],
    }


def tool_row(number, group, *, calls):
    messages = [{"role": "user", "content": f"What is {number}?"}]
    if calls:
        call = tool_formats.call("run_python", PROGRAM)
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "name": "run_python", "content": "3"})
    messages.append({"role": "assistant", "content": f"It is {number}."})
    about = {"language": "python", "origin": "reference", "licence": "x", "tools": [RUN]}
    return {"id": f"t{number}", "format": "tool", "group": group, "messages": messages, **about}


def tool_rows():
    groups = [name for split in splits.SPLITS for name in named(split, 4)]
    return [
        tool_row(number, groups[number % len(groups)], calls=number % 3 != 0)
        for number in range(240)
    ]


def build(folder, test_families=None, answers=0, more=(), **changes):
    """Return the metrics and the rows of each split."""
    (folder / "c").mkdir(parents=True)
    (folder / "p").mkdir()
    kept = [row(n, "reference", name) for name in named("train", 9) for n in range(4)]
    kept += [
        {**r, "id": f"t{r['id']}", "origin": "teacher", "teacher": "t", "code": f"y = {n}"}
        for n, r in enumerate(kept)
        if n % 4 < answers
    ]
    kept += [row(n, "mined", f"module{n % 40}") for n in range(80)]
    kept += [
        {
            **row(n, "reference", name),
            "origin": "teacher",
            "teacher": "t",
            "id": f"a{n}{name}",
            "code": f"y = {n}",
        }
        for name in named("train", 0 if answers else 6)
        for n in range(2)
    ]
    kept[0]["tests"] = []
    kept += more
    files.write_jsonl(folder / "c/accepted.jsonl", kept)
    reasons = ["tests_failed", "timeout", "duplicate"]
    failed = [wrong(r, f"x = y{n}", reasons[n % 3]) for n, r in enumerate(kept[:9])]
    files.write_jsonl(folder / "c/rejected.jsonl", failed)
    broken = [{**r, "error": "NameError: y", "fix": "z = 0"} for r in kept[:8]]
    files.write_jsonl(folder / "c/reflect.jsonl", broken)
    families = {
        "validation": named("validation", 4),
        "test": test_families or named("test", 4),
    }
    for name, of_split in families.items():
        tasks = [row(n, "reference", family) for family in of_split for n in range(4)]
        files.write_jsonl(folder / f"p/{name}.jsonl", tasks)
    (folder / "t").mkdir()
    files.write_jsonl(folder / "t/rows.jsonl", tool_rows())
    files.write_jsonl(
        folder / "t/results.jsonl", [{"key": key} for key in tools.results(tool_rows())]
    )
    places = {name: folder / name[0] for name in ("curated", "prompts", "tools")}
    metrics = main(Params(**(SETTINGS | changes)), **places, out=folder / "out")
    names = splits.SPLITS
    return metrics, {s: list(files.read_jsonl(folder / "out" / f"{s}.jsonl")) for s in names}


def test_every_family_and_every_module_is_in_its_split(tmp_path):
    metrics, rows = build(tmp_path)
    for name, found in rows.items():
        groups = {r["group"] for r in found}
        assert {splits.split(group) for group in groups} == {name}
        assert any(group.startswith("module") for group in groups)
        assert metrics[f"{name}_rows"] == len(found) <= SETTINGS[f"max_{name}_rows"]
    assert metrics["train_code"] == 28
    assert metrics["train_reflect"] == 4
    assert {r["format"] for r in rows["train"]} == {"code", "plan", "reflect", "decompose"}
    assert {r["format"] for r in rows["test"]} == {"code", "plan", "decompose"}


def test_answers_of_the_teacher_come_first_spread_over_the_families(tmp_path):
    metrics, rows = build(tmp_path, answers=4, teacher_share=0.5)
    code = [r for r in rows["train"] if r["format"] == "code"]
    mine = [r for r in code if r["origin"] == "teacher"]
    assert metrics["train_from_teacher"] == len(mine) == 14
    per_family = Counter(r["group"] for r in mine)
    assert len(per_family) == 9
    assert max(per_family.values()) - min(per_family.values()) <= 1
    asked = [r["messages"][1]["content"].split("\n\nPlan")[0] for r in code]
    assert len(set(asked)) == len(asked)  # no task has both an answer and its reference
    assert {r["origin"] for r in rows["train"] if r["format"] == "plan"} == {"reference"}
    assert all((r.get("teacher") == "t") == (r["origin"] == "teacher") for r in rows["train"])
    assert metrics["test_from_teacher"] == 0


def test_a_function_that_the_teacher_wrote_too_is_in_no_mined_row(tmp_path):
    """And its answer is a row of the training split, as the function's module is."""
    mined = [row(n, "mined", f"module{n % 40}") for n in range(80)]
    trained = [r for r in mined if splits.split(r["group"]) == "train"]
    answers = [
        {**r, "id": f"t{r['id']}", "origin": "teacher", "teacher": "t", "code": f"y = {r['id']}"}
        for r in trained[::2]
    ]
    metrics, rows = build(tmp_path, more=answers, mined_share=0.9, teacher_share=0.6)
    found = {r["origin"]: set() for r in rows["train"]}
    for r in rows["train"]:
        if r["format"] == "code":
            found[r["origin"]].add(r["messages"][1]["content"])
    assert metrics["train_from_teacher"] > 0
    assert found["mined"]
    assert not found["mined"] & {
        formats.code_prompt(r["task"], "python")[1]["content"] for r in answers
    }


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    build(tmp_path / "a")
    build(tmp_path / "b")
    assert files.sha256_tree(tmp_path / "a/out") == files.sha256_tree(tmp_path / "b/out")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_family_that_leaks_stops_the_stage(tmp_path, split):
    (family,) = named(split, 1)
    with pytest.raises(InputError, match=f"{family} would be in test and is of another split"):
        build(tmp_path, test_families=[*named("test", 3), family])


def test_a_share_of_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'code', 'complete', 'plan'"):
        build(tmp_path, shares={"cod": 1.0})


ALL = ["code", "complete", "plan", "reflect", "decompose", "critique", "describe", "episode"]


def test_all_formats_are_built_and_pass_the_audit(tmp_path):
    _, rows = build(tmp_path, shares=dict.fromkeys(ALL, 0.125), max_train_rows=56)
    assert {r["format"] for r in rows["train"]} == set(ALL)


def test_blocks_change_the_answers_of_code_and_nothing_else(tmp_path):
    def made(fenced):
        _, rows = build(
            tmp_path / str(fenced),
            shares=dict.fromkeys(ALL, 0.125),
            max_train_rows=56,
            fenced=fenced,
        )
        return [row for found in rows.values() for row in found], files.read_jsonl(
            tmp_path / str(fenced) / "out/pairs.jsonl"
        )

    (plain, plain_pairs), (blocks, block_pairs) = made(False), made(True)
    changed = set()
    for one, other in zip([*plain, *plain_pairs], [*blocks, *block_pairs], strict=True):
        *before, answer = one["messages"]
        *before_too, block = other["messages"]
        if answer != block:
            changed.add(one["format"])
            assert block["content"] == f"```python\n{answer['content']}\n```"
            assert formats.extract_code(block["content"]) == answer["content"]
            assert one["id"] != other["id"]
        assert one["format"] == "episode" or before == before_too
    assert changed >= {"code", "complete", "reflect", "episode", "chosen", "rejected"}
    assert not changed & {"plan", "decompose", "critique", "describe"}


def test_a_critique_never_shows_the_reference(tmp_path):
    _, rows = build(tmp_path, shares={"code": 0.5, "critique": 0.5}, max_train_rows=32)
    made = [r for r in rows["train"] if r["format"] == "critique"]
    answers = {r["messages"][-1]["content"] for r in made}
    assert answers == {"right", "wrong: NameError: y"}
    references = {"z = 0"} | {r["reference"] for r in accepted(tmp_path)}
    for each in made:
        text = "".join(str(each["messages"]).split())
        assert not any("".join(reference.split()) in text for reference in references)


def accepted(folder):
    return files.read_jsonl(folder / "c/accepted.jsonl")


def test_both_ways_of_a_pair_are_in_one_split(tmp_path):
    shares = {"code": 0.5, "describe": 0.5}
    _, rows = build(tmp_path, shares=shares, plan_in_prompt=0.0, max_train_rows=80)
    for name, found in rows.items():
        for made in found:
            assert splits.split(made["group"]) == name
    forth = {r["messages"][-1]["content"] for r in rows["train"] if r["format"] == "code"}
    back = [r["messages"] for r in rows["train"] if r["format"] == "describe"]
    assert back
    for _, asked, answer in back:
        assert asked["content"].rpartition("\n\n")[2] in forth
        assert answer["content"].startswith("Task ")


@pytest.mark.parametrize("tool_format", ["native", "fenced_json", "hermes", "qwen3_coder"])
def test_tool_rows_come_in_their_share_and_one_format(tmp_path, tool_format):
    pytest.importorskip("jsonschema")
    changes = {"shares": {"code": 0.4, "tool": 0.6}, "tool_format": tool_format}
    metrics, rows = build(tmp_path, **changes, max_train_rows=60)
    assert metrics["train_tool"] == 36
    asked = [r for r in rows["train"] if r["format"] == "tool"]
    called = [tool_formats.found(r) for r in asked if tool_formats.found(r)]
    assert len(called) == 24  # 67 %
    assert all(names == {tool_format} for names in called)


def test_spans_have_the_weights_that_are_set(tmp_path):
    pytest.importorskip("jsonschema")
    weights = {"plan": 0.5, "reflect": 3.0, "arguments": 2.0}
    shares = {"plan": 0.2, "episode": 0.4, "tool": 0.4}
    _, rows = build(tmp_path, shares=shares, span_weights=weights, max_train_rows=30)
    plan = next(r for r in rows["train"] if r["format"] == "plan")
    assert plan["messages"][-1]["weights"] == {"turn": 0.5}
    tool = next(r for r in rows["train"] if tools.calls(r))
    assert tool["messages"][1]["weights"] == {"turn": 1.0, "arguments": 2.0}
    episodes = [r["messages"] for r in rows["train"] if r["format"] == "episode"]
    said = {
        tuple(m.get("weights", {}).get("turn") for m in messages if m["role"] == "assistant")
        for messages in episodes
    }
    assert said == {(0.5, 1.0), (0.5, None, 3.0)}  # code that failed is never learnt


def test_the_weight_of_one_is_not_written(tmp_path):
    _, rows = build(tmp_path)
    assert not any("weights" in m for r in rows["train"] for m in r["messages"])


def test_a_result_that_no_tool_returned_stops_the_stage(tmp_path, monkeypatch):
    pytest.importorskip("jsonschema")
    monkeypatch.setattr(tools, "results", lambda rows: [])
    with pytest.raises(InputError, match="no tool returned '3' to this call"):
        build(tmp_path, shares={"tool": 1.0})
    assert not (tmp_path / "out").exists()


def pairs_of(accepted, rejected):
    found = pairs.pair_rows(accepted, rejected, fenced=False)
    return found, [(r["format"], r["origin"], r["messages"][-1]["content"]) for r in found]


def wrong(task, code, reason="tests_failed", origin="slip"):
    return task | {"id": code, "code": code, "reason": reason, "origin": origin, "teacher": "t"}


def test_pairs_are_answers_that_passed_and_failed_to_one_prompt(tmp_path):
    (family,) = named("train", 1)
    ran = [row(n, "reference", family) | {"tests": [{"args": [], "expected": n}]} for n in range(3)]
    ran[2]["tests"] = []  # never executed
    rejected = [
        wrong(ran[0], "x = z"),
        wrong(ran[0], "x = y", "timeout", "teacher"),
        wrong(ran[0], "import os", "subset_node"),  # not executed
        wrong(ran[2], "x"),
        wrong(row(9, "reference", family), "y"),  # of a prompt that nothing solved
    ]
    found, told = pairs_of(ran, rejected)
    assert told == [
        ("chosen", "reference", ran[0]["code"]),
        ("rejected", "teacher", "x = y"),
        ("rejected", "slip", "x = z"),
    ]
    assert len({str(r["messages"][:-1]) for r in found}) == 1
    assert {r["group"] for r in found} == {family}
    assert found[0]["messages"][:-1] == formats.code_prompt(ran[0]["task"], "python")
    again = [*rejected[::-1], rejected[0]]
    assert pairs_of(ran, again)[0] == found


def test_what_is_chosen_is_the_teachers_where_it_passed_and_never_mined(tmp_path):
    (family,) = named("train", 1)
    tested = row(0, "reference", family) | {"tests": [{"args": [], "expected": 0}]}
    answer = tested | {"id": "t", "origin": "teacher", "teacher": "t", "code": "x = 0 + 0"}
    rejected = [wrong(tested, "x = y", origin="teacher")]
    for accepted in ([tested, answer], [answer, tested]):
        _, told = pairs_of(accepted, rejected)
        assert told == [("chosen", "teacher", "x = 0 + 0"), ("rejected", "teacher", "x = y")]
    assert pairs_of([tested | {"origin": "mined"}], rejected)[0] == []
    slow = {"id": "m", "origin": "mined", "language": "python", "reason": "timeout"}
    assert pairs_of([tested], [slow])[0] == []  # curation keeps no task of it


def test_the_stage_writes_pairs_of_what_curation_says(tmp_path):
    metrics, _ = build(tmp_path)
    found = list(files.read_jsonl(tmp_path / "out/pairs.jsonl"))
    assert metrics["pairs"] == 6  # a teacher answered the one whose reference has no tests
    assert [r["format"] for r in found] == ["chosen", "rejected"] * 6
    assert {splits.split(r["group"]) for r in found} == {"train"}
