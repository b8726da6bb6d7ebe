"""Mined functions are of the size asked for, and the same on every run."""

import pytest
from potstill import files
from potstill.errors import InputError

from stages.mine_functions import Params, main

CODE = (
    'def f(x):\n    """Double."""\n    return x * 2\ndef g(x):\n    """Gone."""\n    return gone\n'
)


def settings(*sources, least=0, most=800):
    each = [{"from": text} for text in sources]
    return Params(sources=each, min_code_characters=least, max_code_characters=most)


def test_sizes_are_kept_and_bytes_repeat(tmp_path):
    params = settings("stdlib", least=100, most=150)
    metrics = main(params, out=tmp_path / "a.jsonl")
    rows = list(files.read_jsonl(tmp_path / "a.jsonl", ["code", "licence", "group"]))
    assert rows
    assert all(100 <= len(row["code"]) <= 150 for row in rows)
    assert metrics["functions_kept"] == len(rows) < metrics["functions_found"]
    main(params, out=tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_every_drop_is_counted(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text(CODE)
    metrics = main(settings(f"folder:{tmp_path / 'src'}"), out=tmp_path / "a.jsonl")
    assert metrics["functions_kept"] == metrics["dropped_needs_unknown"] == 1
    assert metrics["kept_python"] == 1
    metrics = main(settings(f"folder:{tmp_path / 'src'}", least=500), out=tmp_path / "a.jsonl")
    assert metrics["functions_kept"] == 0
    assert metrics["dropped_size"] == 1
    assert (
        sum(v for k, v in metrics.items() if k.startswith("dropped")) == metrics["functions_found"]
    )
    assert main(settings(), out=tmp_path / "a.jsonl")["functions_found"] == 0


def test_one_place_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="twice"):
        main(settings("stdlib", "stdlib"), out=tmp_path / "a.jsonl")
