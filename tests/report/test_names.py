"""The report knows (task, measure): no task, format or method is named in it."""

import re
from pathlib import Path

import pytest
from potstill import report

FOLDER = Path(report.__file__).parent
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_task_format_or_method_is_named(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"kata|humaneval|mbpp|edgecoder|gguf|onnx|llama|q8_0", text, re.I) == []
