"""`potstill rebuild`: the artefact of a recipe, from the base model that everybody can have."""

import argparse
import sys
import tempfile
from pathlib import Path

from potstill.recipes import recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("recipe", type=Path, help="a folder that `potstill pack` made")
    parser.add_argument(
        "--model", metavar="SOURCE", help="the base model, where it is not where the recipe says: "
        "gguf:PATH | folder:PATH | hub:OWNER/NAME | package:NAME",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the artefact's folder (default: adopted/NAME)"
    )


def main(args: argparse.Namespace) -> int:
    """Write the artefact; 0 where all its files have the recipe's hashes.

    Raises:
        InputError: see `recipe.build`.
    """
    out = args.out or Path("adopted") / args.recipe.resolve().name
    with tempfile.TemporaryDirectory(dir=_home(out)) as scratch:
        other = recipe.build(args.recipe, out, Path(scratch), args.model)
    sys.stdout.write(f"{out}\n")
    for name in other:
        sys.stderr.write(f"{name} has other bytes than the recipe's\n")
    if not other:
        sys.stderr.write("all files have the hashes of the recipe\n")
    return 1 if other else 0


def _home(out: Path) -> Path:
    """Return the folder of `out`, where there is room for what is made of the base model."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent
