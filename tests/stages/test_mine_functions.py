"""Mined functions are of the size asked for, and the same on every run."""

import pytest
from potstill import files, splits
from potstill.errors import InputError

from stages.mine_functions import Params, main

CODE = (
    'def f(x):\n    """Double."""\n    return x * 2\ndef g(x):\n    """Gone."""\n    return gone\n'
)


def mine(params, out):
    return main(params, out=out, modules_out=out.with_suffix(".modules"))


def settings(*sources, least=0, most=800):
    each = [{"from": text} for text in sources]
    return Params(sources=each, min_code_characters=least, max_code_characters=most)


def test_sizes_are_kept_and_bytes_repeat(tmp_path):
    params = settings("stdlib", least=100, most=150)
    metrics = mine(params, tmp_path / "a.jsonl")
    rows = list(files.read_jsonl(tmp_path / "a.jsonl", ["code", "licence", "group"]))
    assert rows
    assert all(100 <= len(row["code"]) <= 150 for row in rows)
    assert metrics["functions_kept"] == len(rows) < metrics["functions_found"]
    mine(params, tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_every_drop_is_counted(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text(CODE)
    metrics = mine(settings(f"folder:{tmp_path / 'src'}"), tmp_path / "a.jsonl")
    assert metrics["functions_kept"] == metrics["dropped_needs_unknown"] == 1
    assert metrics["kept_python"] == 1
    metrics = mine(settings(f"folder:{tmp_path / 'src'}", least=500), tmp_path / "a.jsonl")
    assert metrics["functions_kept"] == 0
    assert metrics["dropped_size"] == 1
    assert (
        sum(v for k, v in metrics.items() if k.startswith("dropped")) == metrics["functions_found"]
    )
    assert mine(settings(), tmp_path / "a.jsonl")["functions_found"] == 0


def test_whole_texts_of_training_modules_are_written(tmp_path):
    names = [f"{letter}.{kind}" for letter in "abcdefgh" for kind in ("py", "js", "min.js", "txt")]
    for name in names:
        (tmp_path / "src" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "src" / name).write_text(f"text of {name} ≠ 1\n")
    metrics = mine(settings(f"folder:{tmp_path / 'src'}"), tmp_path / "a.jsonl")
    rows = list(files.read_jsonl(tmp_path / "a.modules"))
    groups = [f"src:{name}" for name in names if name.count(".") == 1 and name[-3:] != "txt"]
    wanted = {group for group in groups if splits.split(group) == "train"}
    assert {row["group"] for row in rows} == wanted != set(groups)
    assert metrics["training_modules"] == len(rows) == len(wanted)
    assert all(row["text"] == f"text of {row['group'][4:]} ≠ 1\n" for row in rows)


def test_one_place_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="twice"):
        mine(settings("stdlib", "stdlib"), tmp_path / "a.jsonl")
