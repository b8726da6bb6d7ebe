"""Mine documented functions from installed source code: real code, with the words to ask for it."""

import ast
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from potstill import files

_SKIPPED = {"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo", "__pycache__"}


def python_library() -> Path:
    """Return the folder of the running Python's standard library."""
    return Path(sysconfig.get_paths()["stdlib"])


def mine(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the top-level functions with a docstring below a folder of Python files, in path order.

    Rows: id, source (python version and module), licence, language, name, docstring, code (without
    its docstring), group (the module: splits are made by it).
    """
    version = ".".join(map(str, sys.version_info[:3]))
    for path in sorted(folder.rglob("*.py")):
        relative = path.relative_to(folder)
        if _SKIPPED & set(relative.parts):
            continue
        module = ".".join(relative.with_suffix("").parts)
        for function in _functions(path):
            docstring = ast.get_docstring(function)
            if not docstring or len(function.body) < 2:
                continue
            function.body = function.body[1:]
            code = ast.unparse(function)
            yield {
                "id": files.row_id(module, function.name, code),
                "source": f"python-{version}:{module}",
                "licence": "PSF-2.0",
                "language": "python",
                "name": function.name,
                "arguments": ast.unparse(function.args),
                "docstring": docstring,
                "code": code,
                "group": module,
            }


def _functions(path: Path) -> list[ast.FunctionDef]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []  # the library ships a few files that are broken on purpose
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]
