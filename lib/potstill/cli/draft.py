"""`potstill draft`: the map by which a student drafts for its teacher (speculative decoding)."""

import argparse
import sys
from pathlib import Path

from potstill.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("draft", type=Path, help="folder of a student, an artefact or a vocabulary")
    parser.add_argument("--target", type=Path, required=True, metavar="DIR",
                        help="folder of the model that it drafts for")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE",
                        help="the safetensors file to write")  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Write the file and say what it holds.

    Raises:
        InputError: a folder has no tokenizer, or the draft's vocabulary is no cut of the target's.
    """
    from potstill.vocabulary import drafting

    for folder in (args.draft, args.target):
        if not (folder / "tokenizer.json").is_file():
            raise InputError(f"{folder} has no tokenizer.json: give a checkpoint or an artefact")
    found = drafting.draft_map(args.draft, args.target)
    drafting.write(found, args.out)
    sys.stdout.write(
        f"{args.out}: {len(found.d2t):,} of {len(found.t2d):,} ids; the others are spelled with "
        f"{sum(map(len, found.spelled.values())) / max(1, len(found.spelled)):.1f} each\n"
    )
    return 0
