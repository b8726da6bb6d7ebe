"""`potstill rebuild`: the artefact of a recipe, from the base model that everybody can have.

With `--interpolation` it is one between the base model and the recipe's: `training.interpolation`
is chosen so, by what `potstill score --split validation` says of some, and nothing is trained.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from potstill.errors import InputError
from potstill.recipes import recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("recipe", type=Path, help="a folder that `potstill pack` made")
    parser.add_argument(
        "--model", metavar="SOURCE", help="the base model, where it is not where the recipe says: "
        "gguf:PATH | folder:PATH | hub:OWNER/NAME | package:NAME",
    )  # fmt: skip
    parser.add_argument(
        "--interpolation", type=float, default=1.0, metavar="SHARE", help="how far from the base "
        "model to the recipe's artefact, above 0 and up to 1 (default: 1, the recipe's)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the artefact's folder (default: adopted/NAME)"
    )


def main(args: argparse.Namespace) -> int:
    """Write the artefact; 1 where the recipe's was wanted and a file has another hash.

    Raises:
        InputError: the share is not above 0 and up to 1, or see `recipe.build`.
    """
    share = args.interpolation
    if not 0 < share <= 1:
        raise InputError(f"--interpolation is {share}: give a number above 0 and up to 1")
    out = args.out or Path("adopted") / args.recipe.resolve().name
    with tempfile.TemporaryDirectory(dir=_home(out)) as scratch:
        other = recipe.build(args.recipe, out, Path(scratch), args.model, share)
    sys.stdout.write(f"{out}\n")
    if share != 1:
        sys.stderr.write(f"{share} of the recipe's change: another artefact than the recipe's\n")
        return 0
    for name in other:
        sys.stderr.write(f"{name} has other bytes than the recipe's\n")
    if not other:
        sys.stderr.write("all files have the hashes of the recipe\n")
    return 1 if other else 0


def _home(out: Path) -> Path:
    """Return the folder of `out`, where there is room for what is made of the base model."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent
