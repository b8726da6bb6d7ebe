"""llama.cpp's own converter, `convert_hf_to_gguf.py`: brought by set-up, checked before each use.

It lies in the source package from which llama-cpp-python is built, so it always fits the library
that reads what it writes. Set-up takes it out of that package into the virtual environment
(`python -m potstill.export.converter`); both the package and the extracted tree are pinned here.

Source: llama-cpp-python 0.3.36, `vendor/llama.cpp`, MIT licence (kept beside it).
"""

import ast
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from potstill import files
from potstill.errors import InputError, MissingPackageError

PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
ARCHIVE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
TREE_SHA256 = "4e53043e64ec5e93116eb97e6ec926f14f172b10d54f43a4db61276c1f9853d7"
WANTED = ("LICENSE", "conversion", "convert_hf_to_gguf.py", "gguf-py/LICENSE", "gguf-py/gguf")
_SETUP = "run `make setup`"
_REPORT = "it is not the pinned one: check the package index that pip uses"
_SCRATCH = ".llama.cpp-"


def folder() -> Path:
    """Return where set-up puts the converter: inside the virtual environment."""
    return Path(sys.prefix) / "share" / "potstill" / "llama.cpp"


def check() -> Path:
    """Return the converter's folder, which is there and whole.

    Raises:
        MissingPackageError: there is none.
        InputError: a file of it is not as pinned.
    """
    tree = folder()
    if not tree.is_dir():
        raise MissingPackageError(f"llama.cpp's converter is not in {tree}: {_SETUP}")
    if (got := files.sha256_tree(tree)) != TREE_SHA256:
        raise InputError(
            f"llama.cpp's converter in {tree} has SHA-256 {got[:12]}, pinned is "
            f"{TREE_SHA256[:12]}: delete that folder and {_SETUP}"
        )
    return tree


def architectures(tree: Path) -> frozenset[str]:
    """Return the names in config.json's `architectures` that the converter knows as text models.

    They are read from its table without importing it, which would import torch.
    """
    module = ast.parse((tree / "conversion" / "__init__.py").read_text(encoding="utf-8"))
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TEXT_MODEL_MAP":
            assert node.value is not None
            return frozenset(ast.literal_eval(node.value))
    raise AssertionError("the pinned converter has no TEXT_MODEL_MAP")


def bring() -> Path:
    """Put the converter into the virtual environment, unless it is there and whole.

    Raises:
        InputError: pip cannot get the source package, or it is not the pinned one.
    """
    tree = folder()
    if tree.is_dir() and files.sha256_tree(tree) == TREE_SHA256:
        return tree
    tree.parent.mkdir(parents=True, exist_ok=True)
    for left in tree.parent.glob(_SCRATCH + "*"):  # by a set-up that was killed
        files.remove(left)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=tree.parent) as name:
        fresh = Path(name) / "tree"
        _extract(_download(Path(name)), fresh)
        if (got := files.sha256_tree(fresh)) != TREE_SHA256:
            raise InputError(f"{PACKAGE} {VERSION} gave a converter of SHA-256 {got}: {_REPORT}")
        files.publish(fresh, tree)
    return tree


def _download(out: Path) -> Path:
    """Let pip fetch the source package; it refuses another than the pinned one before opening it.

    pip asks a source package for its metadata even where it shall only be downloaded, which costs
    a few seconds; its own cache usually has the file from building the wheel.
    """
    pinned = out / "requirements.txt"
    pinned.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{ARCHIVE_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
               "--no-deps", "--no-binary", PACKAGE, "--dest", str(out),
               "--requirement", str(pinned)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(out.glob("*.tar.gz"))
    if done.returncode or len(found) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no output"]
        raise InputError(f"pip cannot fetch the source of {PACKAGE} {VERSION}: {errors[-1]}")
    return found[0]


def _extract(archive: Path, out: Path) -> None:
    """Write the wanted files of the source package below `out`, nothing else of it."""
    with tarfile.open(archive) as package:
        for member in package:
            parts = PurePosixPath(member.name).parts
            if parts[1:3] != ("vendor", "llama.cpp") or not member.isfile():
                continue
            name = PurePosixPath(*parts[3:])
            if any(name.is_relative_to(wanted) for wanted in WANTED):
                content = package.extractfile(member)
                assert content is not None
                target = out / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())


if __name__ == "__main__":
    try:
        bring()
    except InputError as error:
        sys.exit(f"set-up: {error}")
