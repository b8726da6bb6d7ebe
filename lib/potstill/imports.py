"""Which modules of the project a file reaches, read from source text.

A registry names its modules in texts ("potstill.export.gguf"), which count as imports. A name that
is computed is invisible here.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Change no numbers, so an edit must not rerun every stage.
PLUMBING = {
    "stage",
    "params",
    "files",
    "errors",
    "registry",
    "imports",
    "progress",
    "scratch",
    "node",
}


def module_file(name: str, root: Path = ROOT) -> Path | None:
    """Return the source of `potstill.x.y` or `stages.x`; None for a name inside a module."""
    parts = name.split(".")
    base = root.joinpath(*(["lib"] if parts[0] == "potstill" else []), *parts)
    return next((f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()), None)


def imported(path: Path, root: Path = ROOT) -> Iterator[str]:
    """Yield the modules of the project that a file names anywhere in it, packages included."""
    inside = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[-2:]
    package = inside[1 if inside[0] == "lib" else 0 : -1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for name in _names(node, package):
            pieces = name.split(".")
            if pieces[0] in ("potstill", "stages"):
                modules = (".".join(pieces[:end]) for end in range(1, len(pieces) + 1))
                yield from (module for module in modules if module_file(module, root))


def _names(node: ast.AST, package: tuple[str, ...]) -> list[str]:
    """Return the dotted names that one node of a file in `package` may import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else ()
        module = ".".join([*above, *([node.module] if node.module else [])])
        return [f"{module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value] if re.fullmatch(r"potstill(\.\w+)+", node.value) else []
    return []


def reachable(path: Path, root: Path = ROOT) -> set[str]:
    """Return the modules that a file imports, and those that they import, but no plumbing."""
    seen: set[str] = set()
    todo = [path]
    while todo:
        for name in imported(todo.pop(), root):
            source = module_file(name, root)
            if source and name not in seen and unit(name) not in PLUMBING:
                seen.add(name)
                todo.append(source)
    return seen


def unit(module: str) -> str:
    """Return what changes together: `potstill.export.gguf` -> `export`; the package itself -> ``.

    A unit is a folder of the library, or a module beside the folders.
    """
    return ".".join(module.split(".")[1:2])


def code_dependencies(script: Path, root: Path = ROOT) -> set[str]:
    """Return what a stage must declare: its own file and the units of the library it reaches."""
    units = {unit(name) for name in reachable(script, root) if name.startswith("potstill.")}
    paths = {root / "lib/potstill" / name for name in units if name}
    return {script.relative_to(root).as_posix()} | {
        (p if p.is_dir() else p.with_suffix(".py")).relative_to(root).as_posix() for p in paths
    }


def sources(script: Path, root: Path = ROOT) -> list[Path]:
    """Return the files whose text decides what a script computes, itself first."""
    found = {module_file(name, root) for name in reachable(script, root)}
    return [script, *sorted(path for path in found if path and path != script)]
