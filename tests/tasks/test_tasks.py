"""Every task: its references pass, wrong answers do not; what it reads is checked.

Not tested here: the published files as a whole, which are not part of the project.
"""

import re
from dataclasses import replace

import pytest
from potstill import files, katas, sandbox
from potstill.errors import InputError
from potstill.tasks import TASKS, UnavailableError, Where
from potstill.tasks.problem import draw, list_sha256

from tests.tasks.conftest import HUMANEVAL_JS, MBPP, write

LIMITS = sandbox.Limits(cpu_s=2.0)


@pytest.fixture
def everywhere(sources, tmp_path):
    rows, others = (katas.instances(0, 1, ["python", "javascript"])[n : n + 20] for n in (0, 20))
    untested = {**rows[0], "id": "untested", "tests": []}
    files.write_jsonl(tmp_path / "test.jsonl", [*rows, untested])
    files.write_jsonl(tmp_path / "validation.jsonl", others)
    return Where(sources, tmp_path)


@pytest.mark.parametrize("name", [name for name in TASKS if TASKS[name].METHOD == "code"])
def test_references_pass_and_other_code_does_not(everywhere, name):
    problems = TASKS[name].problems(everywhere)[:30]
    assert problems
    assert {problem.task for problem in problems} == {name}
    right = sandbox.run_many([item.case(item.reference, LIMITS) for item in problems])
    assert [item.id for item, run in zip(problems, right, strict=True) if not run.ok] == []
    wrong = {
        "python": "def {}(*args):\n    return 'wrong'",
        "javascript": "function {}() {{ return 'wrong' }}",
    }
    codes = [wrong[item.language].format(item.entry_point) for item in problems]
    runs = sandbox.run_many([p.case(code, LIMITS) for p, code in zip(problems, codes, strict=True)])
    assert not any(run.ok for run in runs)


# What a teacher said is recorded by the pipeline: test_divergence.py.
@pytest.mark.parametrize("name", [name for name in TASKS if TASKS[name].METHOD != "divergence"])
def test_a_task_says_what_it_is(everywhere, name):
    task = TASKS[name]
    assert task.LICENCE
    assert set(task.SPLITS) <= {"validation", "test"}
    problems = task.problems(everywhere)
    assert len({problem.id for problem in problems}) == len(problems)
    for problem in problems[:10]:
        roles = ["user"] if name == "humaneval_bare" else ["system", "user"]
        assert [message["role"] for message in problem.messages] == roles
        assert problem.reference not in problem.messages[-1]["content"]
    texts = task.texts(everywhere)
    assert bool(texts) != bool(task.MADE_OF)
    assert all(TASKS[part].texts(everywhere) for part in task.MADE_OF)
    assert len({text.id for text in texts}) == len(texts)
    assert all(text.code in text.text for text in texts)


def test_a_smaller_count_is_a_subset_of_a_larger_one(everywhere):
    problems = TASKS["humaneval"].problems(everywhere)
    assert draw(problems, 5, 0) == draw(problems, 20, 0)[:5]
    assert draw(problems, 5, 0) != draw(problems, 5, 1)
    assert len(draw(problems, 1000, 0)) == 164


def test_katas_need_the_folder_of_prompts_and_read_the_split(everywhere, tmp_path):
    with pytest.raises(UnavailableError, match="folder of prompts"):
        TASKS["katas"].problems(Where())
    assert "untested" not in {problem.id for problem in TASKS["katas"].problems(everywhere)}
    rows = list(files.read_jsonl(tmp_path / "test.jsonl"))[:3]
    files.write_jsonl(tmp_path / "validation.jsonl", rows)
    found = TASKS["katas"].problems(replace(everywhere, split="validation"))
    assert [problem.id for problem in found] == [row["id"] for row in rows]


def test_bare_humaneval_says_what_was_published_and_no_more(where):
    for ours, bare in zip(
        TASKS["humaneval"].problems(where), TASKS["humaneval_bare"].problems(where), strict=True
    ):
        assert bare.messages == [{"role": "user", "content": ours.request}]
        assert replace(bare, task="humaneval", messages=ours.messages) == ours


def test_stubs_are_the_katas_with_a_signature_and_what_it_imports(everywhere):
    katas = {problem.id: problem for problem in TASKS["katas"].problems(everywhere)}
    found = TASKS["stubs"].problems(everywhere)
    assert len(found) == len(katas)
    for ours in found:
        whole = katas[ours.id]
        assert (ours.tests, ours.family, ours.level) == (whole.tests, whole.family, whole.level)
        assert "Complete this function." in ours.messages[-1]["content"]
        assert ours.messages[-1]["content"].endswith(ours.request)
        assert ours.request.startswith(ours.preamble)
    typed = [ours for ours in found if ours.preamble]
    assert all(ours.preamble.startswith("from typing import ") for ours in typed)
    assert all(ours.language == "python" for ours in typed)
    assert typed


def test_mbpp_takes_one_split_and_leaves_out_what_cannot_be_graded(where):
    problems = TASKS["mbpp"].problems(where)
    assert [problem.id for problem in problems] == ["mbpp/1", "mbpp/2", "mbpp/3"]
    assert "assert add(1, 2) == 3" in problems[0].messages[1]["content"]
    validation = TASKS["mbpp"].problems(replace(where, split="validation"))
    assert [problem.id for problem in validation] == ["mbpp/5", "mbpp/6"]
    assert len(TASKS["mbpp"].texts(where)) == len(MBPP)


def test_javascript_helpers_may_be_used_and_repeated(where):
    problem = TASKS["humaneval_js"].problems(where)[1]
    assert problem.entry_point == "unshift"
    again = f"{HUMANEVAL_JS[1]['prompt']}  return shift(shift(s));\n}}"
    assert sandbox.run_many([problem.case(again, LIMITS)])[0].ok
    alone = "function unshift(s) { return s[s.length - 1] + s.slice(0, -1) }"
    assert sandbox.run_many([problem.case(alone, LIMITS)])[0].ok


def test_javascript_that_needs_a_module_is_left_out(where):
    assert [p.id for p in TASKS["humaneval_js"].problems(where)] == ["JavaScript/0", "JavaScript/1"]


def test_edgecoder_is_what_can_be_solved_inside_the_subset(where):
    problems = TASKS["edgecoder"].problems(where)
    ids = {problem.id for problem in problems}
    assert {"mbpp/1", "JavaScript/0", "HumanEval/0"} <= ids
    assert "mbpp/3" not in ids  # its solution imports
    assert all(problem.inside_only for problem in problems)
    assert list_sha256(problems) == list_sha256(problems[::-1])
    assert list_sha256(problems) != list_sha256(problems[1:])


def test_edgecoder_needs_all_its_parts(sources):
    del sources["mbpp"]
    with pytest.raises(UnavailableError, match=r"benchmarks\.sources\.mbpp"):
        TASKS["edgecoder"].problems(Where(sources))


@pytest.mark.parametrize("name", ["mbpp", "humaneval_js"])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/nowhere/{}.jsonl", r"/nowhere/.* is missing: correct benchmarks\.sources"),
        ("$NOWHERE/x", "is missing"),
        ("hub:owner/data", "hub:OWNER/NAME/FILE@COMMIT is allowed"),
    ],
)
def test_a_file_that_is_not_there_is_named(name, source, message):
    with pytest.raises(InputError, match=message) as caught:
        TASKS[name].problems(Where({name: source.format(name)}))
    assert isinstance(caught.value, UnavailableError) == ("missing" in message)


@pytest.mark.parametrize("name", ["mbpp", "humaneval_js"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"[1]\n", "line 1 is a list"),
        (b'{"task_id": 1}\n', "line 1 has no text task_id, "),
        (b"{\n", "line 1 is not JSON"),
        (b"\xff\xfe\n", "cannot be read"),
    ],
)
def test_a_hostile_file_is_named_with_its_line(tmp_path, name, data, message):
    (tmp_path / "rows.jsonl").write_bytes(data)
    with pytest.raises(InputError, match=rf"rows\.jsonl.*{message}"):
        TASKS[name].problems(Where({name: str(tmp_path / "rows.jsonl")}))


def test_a_torn_archive_is_named(tmp_path, sources):
    path = tmp_path / "humaneval_js.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        TASKS["humaneval_js"].problems(Where(sources))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_list": []}, "test_list must be a list"),
        ({"test_list": "assert add(1, 2)"}, "test_list must be a list"),
        ({"test_list": ["assert add(1, 2"]}, "is no Python"),
        ({"code": "function add(a, b) { return a + b }"}, "is no Python"),
        ({"test_list": ["assert other(1)"]}, "no test calls a function"),
        ({"split": "train"}, "no problem of the split test"),
    ],
)
def test_a_row_of_mbpp_that_makes_no_sense_is_named(tmp_path, change, message):
    path = write(tmp_path / "rows.jsonl", [MBPP[0] | change])
    with pytest.raises(InputError, match=re.escape(message)):
        TASKS["mbpp"].problems(Where({"mbpp": path}))


def test_a_python_prompt_among_the_javascript_is_named(tmp_path):
    row = HUMANEVAL_JS[0] | {"prompt": "def is_short(items):\n"}
    path = write(tmp_path / "rows.jsonl", [row])
    with pytest.raises(InputError, match="JavaScript/0: the prompt must end in"):
        TASKS["humaneval_js"].problems(Where({"humaneval_js": path}))
