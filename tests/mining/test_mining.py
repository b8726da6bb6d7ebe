"""Mining: what counts as a documented function, on a folder made here and on the real library."""

import ast

from potstill.mining import mining


def put(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_only_documented_top_level_functions_are_taken(tmp_path):
    put(
        tmp_path,
        "a.py",
        'def f(x, *, y=1):\n    """Add.\n\n    More."""\n    # why\n    return x + y\n'
        'def bare(x):\n    return x\ndef only():\n    """Doc."""\n'
        'class C:\n    def m(self):\n        """Doc."""\n        return 1\n',
    )
    put(tmp_path, "test/b.py", 'def t():\n    """T."""\n    return 1\n')
    put(tmp_path, "broken.py", "def f(:\n")
    (row,) = mining.mine(tmp_path)
    assert row["name"] == "f"
    assert row["group"] == "a"
    assert row["arguments"] == "x, *, y=1"
    assert row["code"] == "def f(x, *, y=1):\n    return x + y"
    assert row["docstring"].startswith("Add.")


def test_the_standard_library_gives_hundreds_that_parse():
    rows = list(mining.mine(mining.python_library()))
    assert len(rows) > 500
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows[:200]:
        ast.parse(row["code"])
