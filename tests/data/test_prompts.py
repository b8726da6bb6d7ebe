"""The user's own tasks: what is missing is filled in, what is wrong is named."""

import json

import pytest
from potstill.data import prompts
from potstill.errors import InputError

ROW = {"task": "Write f(x).", "language": "python"}


def put(folder, *rows, name="mine.jsonl"):
    folder.mkdir(exist_ok=True)
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_bare_row_becomes_a_task_row(tmp_path):
    (row,) = prompts.read_extra(put(tmp_path, ROW))
    assert row["family"]
    assert row["source"] == "mine"
    assert row["tests"] == []
    assert row["reference"] is None


def test_ids_depend_on_content_alone(tmp_path):
    first, second = prompts.read_extra(put(tmp_path, ROW, {**ROW, "language": "javascript"}))
    assert first["id"] != second["id"]
    assert prompts.read_extra(tmp_path)[0]["id"] == first["id"]


def test_tasks_that_ask_the_same_are_one_family_in_any_language_and_file(tmp_path):
    put(tmp_path, ROW, {**ROW, "language": "javascript"}, {**ROW, "task": "Write g(x)."})
    put(tmp_path, ROW, name="other.jsonl")
    one, two, different, again = (row["family"] for row in prompts.read_extra(tmp_path))
    assert one == two == again != different


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "mine.jsonl is empty"),
        (["", "  "], "mine.jsonl is empty"),
        ([ROW, "{not json"], "line 2 is not JSON"),
        ([ROW, "[1]"], "line 2 is a list"),
        ([{"task": "x"}], "line 1 lacks language"),
        ([{**ROW, "language": "rust"}], "'rust'; allowed: python, javascript"),
        ([{**ROW, "tests": [{"args": [], "expected": 1}]}], "no entry_point"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, rows, message):
    with pytest.raises(InputError, match=message) as caught:
        prompts.read_extra(put(tmp_path, *rows))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="not UTF-8"):
        prompts.read_extra(tmp_path)


def test_no_files_are_no_tasks(tmp_path):
    assert prompts.read_extra(tmp_path) == []
