"""Which modules of the project a file reaches, read from source text.

A registry names its modules in texts ("potstill.export.gguf"), which count as imports. A name that
is computed is invisible here.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Change no numbers, so an edit must not rerun every stage.
PLUMBING = {"stage", "params", "files", "errors", "registry"}


def module_file(name, root=ROOT):
    """The source file of `potstill.x.y` or `stages.x`; None for a name inside a module."""
    base = root / ("lib" if name.split(".")[0] == "potstill" else "") / Path(*name.split("."))
    return next((f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()), None)


def imported(path, root=ROOT):
    """Yield the modules of the project that a file names anywhere in it, packages included."""
    package = path.relative_to(root / "lib" if "lib" in path.relative_to(root).parts else root)
    parts = package.with_suffix("").parts
    parts = parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = parts[: len(parts) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if re.fullmatch(r"potstill(\.\w+)+", node.value) else []
        for name in names:
            pieces = name.split(".")
            if pieces[0] not in ("potstill", "stages"):
                continue
            for end in range(1, len(pieces) + 1):
                if module_file(".".join(pieces[:end]), root):
                    yield ".".join(pieces[:end])


def reachable(path, root=ROOT):
    """The modules that a file imports, and those that they import, without the plumbing's."""
    seen, todo = set(), [path]
    while todo:
        for name in imported(todo.pop(), root):
            if name not in seen and unit(name) not in PLUMBING:
                seen.add(name)
                todo.append(module_file(name, root))
    return seen


def unit(module):
    """`potstill.export.gguf` -> `export`; the package itself -> ``."""
    return ".".join(module.split(".")[1:2])


def code_dependencies(script, root=ROOT):
    """What a stage must declare: its own file and the parts of the library that it reaches."""
    units = {unit(name) for name in reachable(script, root) if name.startswith("potstill.")}
    paths = {root / "lib/potstill" / name for name in units if name}
    return {script.relative_to(root).as_posix()} | {
        (p if p.is_dir() else p.with_suffix(".py")).relative_to(root).as_posix() for p in paths
    }
