"""`potstill pack`: an export of an adapted student as a recipe that is small enough to pass on."""

import argparse
import sys
from pathlib import Path
from typing import Any

from potstill import params
from potstill.errors import InputError
from potstill.recipes import recipe
from potstill.students.start import CUTS

MODELS, VOCABULARY = Path("models"), Path("data/vocabulary")
FETCHED = "fetched/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("export", help="a name in `export` of params.yaml, such as kd-q4_k_m")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")


def main(args: argparse.Namespace) -> int:
    """Write the folder and print its size.

    Raises:
        InputError: no such export, or it is not of a student that a recipe can be made of.
    """
    num_bytes = recipe.pack(_parts(args.export, params.read_params()), args.out)
    sys.stdout.write(f"{args.out}: {num_bytes / 1e6:.1f} MB, for potstill rebuild\n")
    return 0


def _parts(export: str, tree: dict[str, Any]) -> recipe.Parts:
    exports = params.section(tree, "export")
    if export not in exports:
        raise InputError(f"params.yaml has no export {export!r}; {params.closest(export, exports)}")
    place = exports[export]["checkpoint"]
    name = place.removeprefix("students/")
    students = params.section(tree, "students")
    if name == place or name not in students:
        raise InputError(f"{export} is an export of {place}: a recipe is of a student")
    start = params.section(tree, "starts")[students[name]["start"]]
    is_cut = any(start.get(name) for name in (*CUTS, "budget", "fresh"))
    if not start["from"].startswith(FETCHED) or is_cut:
        raise InputError(
            f"{name} starts as {students[name]['start']}, whose weights nobody else has: a recipe "
            f"needs a start from {FETCHED}NAME with all its layers and channels"
        )
    whole = start.get("vocabulary") == "whole"
    return recipe.Parts(
        MODELS / "artefacts" / export,
        MODELS / place,
        MODELS / start["from"],
        None if whole else VOCABULARY,
    )
