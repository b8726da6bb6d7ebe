"""The user's own tasks: what is missing is filled in, what is wrong is named."""

import json
import resource

import pyarrow.parquet
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
        ([ROW, {**ROW, "references": "x"}], "row 2: unknown field references; .* mean reference"),
        ([{**ROW, "tests": [{"args": 1, "expected": 1}]}], "row 1: tests.0.args: .* list"),
        ([{**ROW, "tests": [{"args": []}]}], "tests.0.expected is missing"),
        ([{**ROW, "level": 7}], "level: .*less than or equal to 4"),
        ([{**ROW, "task": ""}], "task: .*at least 1 character"),
        ([{**ROW, "plan": "think"}], "plan: .* list"),
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


def test_a_line_in_another_encoding_is_named_with_its_number(tmp_path):
    lines = [json.dumps(ROW).encode(), '{"task": "Größe", "language": "python"}'.encode("latin-1")]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(InputError, match=r"x\.jsonl line 2 is not UTF-8"):
        prompts.read_extra(tmp_path)


def test_the_mark_that_some_editors_write_first_is_passed_over(tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps(ROW), encoding="utf-8-sig")
    assert len(prompts.read_extra(tmp_path)) == 1


def test_a_line_of_100_mb_is_refused_and_not_read(tmp_path):
    with (tmp_path / "x.jsonl").open("wb") as file:
        file.write(json.dumps(ROW).encode() + b'\n{"task": "')
        file.write(b"a" * 100_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"x\.jsonl line 2 has more than 64 MiB"):
        prompts.read_extra(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_parquet_gives_the_rows_that_jsonl_gives(tmp_path):
    tests = [{"args": [1, "a"], "expected": None}]
    whole = {**ROW, "entry_point": "f", "plan": ["Think."], "level": 2}
    put(tmp_path / "a", {**whole, "tests": tests}, {**ROW, "task": "Other."})
    (tmp_path / "b").mkdir()
    rows = [{**whole, "tests": json.dumps(tests)}, {**ROW, "task": "Other."}]
    parquet(tmp_path / "b/mine.parquet", rows)
    assert prompts.read_extra(tmp_path / "b") == prompts.read_extra(tmp_path / "a")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_truncated_parquet_file_is_named(tmp_path, share):
    path = parquet(tmp_path / "x.parquet", [{**ROW, "task": f"Write f{n}."} for n in range(500)])
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"x\.parquet cannot be read as Parquet"):
        prompts.read_extra(tmp_path)


def test_an_unknown_column_of_parquet_is_named(tmp_path):
    parquet(tmp_path / "x.parquet", [{**ROW, "answer": "x"}])
    with pytest.raises(InputError, match=r"x\.parquet row 1: unknown field answer"):
        prompts.read_extra(tmp_path)


def test_no_files_are_no_tasks(tmp_path):
    assert prompts.read_extra(tmp_path) == []
