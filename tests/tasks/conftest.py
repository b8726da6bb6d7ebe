"""Files in the schema of MBPP and HumanEval-X, with problems of our own."""

import gzip
import json
from pathlib import Path

import pytest
from potstill.tasks import Where

MBPP = [
    {
        "task_id": "mbpp/1", "split": "test", "text": "Write a function to add two numbers.",
        "code": "def add(a, b):\r\n  return a + b", "test_setup_code": "",
        "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0", "assert add(2, 2) == 4"],
    },
    {
        "task_id": "mbpp/2", "split": "test", "text": "Write a function to find equal elements.",
        "code": "def shared(a, b):\n  return tuple(set(a) & set(b))", "test_setup_code": "",
        "test_list": ["assert set(shared((1, 2), (2, 3))) == set((2,))"],
    },
    {
        "task_id": "mbpp/3", "split": "test", "text": "Write a function to check parity.",
        "code": "import re\ndef check(n):\n  return n % 2 == 0", "test_setup_code": "",
        "test_list": ["assert check(2) == True", "assert check(3) == False"],
    },
    {
        "task_id": "mbpp/4", "split": "test", "text": "Write a function to sum pairs.",
        "code": "class Pair:\n  def __init__(self, a): self.a = a\ndef total(p):\n  return p.a",
        "test_list": ["assert total(Pair(1)) == 1"], "test_setup_code": "",
    },
    {
        "task_id": "mbpp/5", "split": "validation", "text": "Write a function to double.",
        "code": "def double(n):\n  return 2 * n", "test_setup_code": "",
        "test_list": ["assert double(2) == 4"],
    },
    {
        "task_id": "mbpp/6", "split": "train", "text": "Write a function to halve.",
        "code": "def half(n):\n  return n // 2", "test_setup_code": "",
        "test_list": ["assert half(2) == 1"],
    },
    {
        "task_id": "mbpp/7", "split": "prompt", "text": "Write a function to negate.",
        "code": "def negate(n):\n  return -n", "test_setup_code": "",
        "test_list": ["assert negate(2) == -2"],
    },
]  # fmt: skip
HUMANEVAL_JS = [
    {
        "task_id": "JavaScript/0",
        "prompt": "/* Say whether a list is short. */\nconst isShort = (items) => {\n",
        "canonical_solution": "  return items.length < 3;\n}\n\n",
        "test": "const t = () => {\n  console.assert(isShort([1]) === true)\n"
        "  console.assert(isShort([1, 2, 3]) === false)\n}\nt()\n",
    },
    {
        "task_id": "JavaScript/1",
        "prompt": "const shift = (s) => {\n  return s.slice(1) + s[0];\n}\n\n/* Undo it. */\n"
        "const unshift = (s) => {\n",
        "canonical_solution": "  return shift(shift(s));\n}\n",  # of texts of three characters
        "test": "for (const s of ['abc', 'xyz']) {\n  console.assert(unshift(shift(s)) === s)\n}\n",
    },
    {
        "task_id": "JavaScript/2",
        "prompt": "const digest = (s) => {\n",
        "canonical_solution": "  const md5 = require('js-md5')\n  return md5(s)\n}\n",
        "test": "console.assert(digest('') === '')",
    },
]


def write(path: Path, rows: list) -> str:
    """Write rows as JSONL, gzipped if the name says so; return the path as text."""
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.fixture
def sources(tmp_path):
    """Return the files by task."""
    return {
        "mbpp": write(tmp_path / "mbpp.jsonl", MBPP),
        "humaneval_js": write(tmp_path / "humaneval_js.jsonl.gz", HUMANEVAL_JS),
    }


@pytest.fixture
def where(sources):
    return Where(sources)
