"""Files are whole or absent, and hashes tell equal content from different content."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from potstill import files
from potstill.errors import InputError

JSON_ROWS = st.lists(
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), min_size=1)
)


@given(st.binary())
def test_sha256_of_a_file_is_hashlibs(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("files") / "f"
    path.write_bytes(data)
    assert files.sha256_file(path) == hashlib.sha256(data).hexdigest()


def test_the_hash_of_a_folder_depends_on_names_and_contents_only(tmp_path):
    def tree(name, content):
        root = tmp_path / name
        for path, text in content.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return files.sha256_tree(root)

    one = tree("one", {"a": "1", "sub/b": "2"})
    assert tree("two", {"sub/b": "2", "a": "1"}) == one
    assert tree("three", {"a": "2", "sub/b": "1"}) != one
    assert tree("four", {"a": "1", "sub/c": "2"}) != one
    assert tree("five", {"a": "1"}) != one


@pytest.mark.parametrize("old", [None, "file", "folder"])
@pytest.mark.parametrize("new", ["file", "folder"])
def test_publish_replaces_whatever_was_there(tmp_path, old, new):
    def make(path, kind, text):
        if kind == "folder":
            path.mkdir()
            (path / text).write_text(text)
        elif kind == "file":
            path.write_text(text)

    final, partial = tmp_path / "out", files.partial_path(tmp_path / "out")
    make(final, old, "old")
    make(partial, new, "new")
    files.publish(partial, final)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (final / "new" if new == "folder" else final).read_text() == "new"


def test_a_file_is_never_absent_while_it_is_replaced(tmp_path, monkeypatch):
    path = tmp_path / "params.yaml"
    path.write_text("old")
    monkeypatch.setattr(files.Path, "replace", lambda *_: pytest.fail("the machine stops here"))
    with pytest.raises(pytest.fail.Exception):
        files.write_text(path, "new")
    assert path.read_text() == "old"


def test_json_is_sorted_strict_and_ends_with_a_newline(tmp_path):
    path = tmp_path / "deep/m.json"
    files.write_json(path, {"b": 1, "a": "é"})
    assert path.read_text().endswith("}\n")
    assert list(files.read_json(path)) == ["a", "b"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"a": float("nan")})
    assert files.read_json(path)["b"] == 1


@pytest.mark.parametrize("text", [None, "{", "", "\x00"])
def test_unreadable_json_is_one_line(tmp_path, text):
    path = tmp_path / "m.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"m\.json is (missing|not JSON)"):
        files.read_json(path)


@given(JSON_ROWS)
def test_rows_come_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "r.jsonl"
    assert files.write_jsonl(path, rows) == len(rows)
    assert list(files.read_jsonl(path)) == rows


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b'{"id": 1}\n{"id": 2\n', "line 2 is not JSON"),
        (b'{"id": 1}\n\n[1]\n', "line 3 is a list"),
        (b'{"id": 1}\n{"ib": 2}\n', "line 2 lacks id; it has ib"),
        (b'{"id": 1}\n{"id": "\xff"}\n', "not UTF-8"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(tmp_path, data, named):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=named) as caught:
        list(files.read_jsonl(path, required=["id"]))
    assert "rows.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_before_a_malformed_line_are_yielded_one_at_a_time(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"id": 1}) + "\n{broken\n")
    rows = files.read_jsonl(path)
    assert next(rows) == {"id": 1}


def test_missing_rows_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no\.jsonl is missing"):
        list(files.read_jsonl(tmp_path / "no.jsonl"))


def test_a_row_id_separates_its_parts():
    assert files.row_id("ab", "c") != files.row_id("a", "bc")
    assert files.row_id("é\ud800") == files.row_id("é\ud800")
    assert len(files.row_id("")) == 16
