"""Mined functions are of the size asked for, and the same on every run."""

from potstill import files

from stages.mine_functions import Params, main


def test_sizes_are_kept_and_bytes_repeat(tmp_path):
    params = Params(min_code_characters=100, max_code_characters=150)
    metrics = main(params, out=tmp_path / "a.jsonl")
    rows = list(files.read_jsonl(tmp_path / "a.jsonl", ["code", "licence", "group"]))
    assert rows
    assert all(100 <= len(row["code"]) <= 150 for row in rows)
    assert metrics["functions_kept"] == len(rows) < metrics["functions_found"]
    main(params, out=tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
