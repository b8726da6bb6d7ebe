"""The walk over imports finds what a stage reaches, on a small tree of every way to import."""

import pytest
from potstill.imports import code_dependencies

SYNTHETIC = {
    "lib/potstill/__init__.py": "",
    "lib/potstill/files.py": "import potstill.report",
    "lib/potstill/hashes.py": "from potstill.files import x",
    "lib/potstill/models/__init__.py": "",
    "lib/potstill/models/chat.py": "def f():\n    from potstill import hashes",
    "lib/potstill/export/__init__.py": "from . import gguf",
    "lib/potstill/export/gguf.py": "from ..models.chat import f",
    "lib/potstill/report/__init__.py": "",
    "stages/one.py": "from potstill import files, stage\nfrom potstill.export import FORMATS",
    "stages/two.py": "import potstill.models",
    "stages/three.py": "from potstill.hashes import write\nimport json, os.path",
}


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("one", {"lib/potstill/export", "lib/potstill/models", "lib/potstill/hashes.py"}),
        ("two", {"lib/potstill/models"}),
        ("three", {"lib/potstill/hashes.py"}),
    ],
)
def test_the_walk_finds_late_relative_and_indirect_imports(tmp_path, script, code):
    for name, text in SYNTHETIC.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    path = tmp_path / f"stages/{script}.py"
    assert code_dependencies(path, tmp_path) == code | {f"stages/{script}.py"}
