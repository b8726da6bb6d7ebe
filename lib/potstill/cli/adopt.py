"""`potstill adopt`: a stranger's model becomes an artefact that chat and score take."""

import argparse
import sys
from pathlib import Path

from potstill.adoption import adopt
from potstill.export import FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "source", type=Path, help="a GGUF file, an ONNX folder or a Hugging Face checkpoint"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the artefact's folder (default: adopted/NAME)"
    )
    parser.add_argument(
        "--cache",
        choices=FORMATS.constant("gguf", "CACHES"),
        help="keep keys and values of a GGUF model in blocks of 8 or 4 bits instead of float16",
    )


def main(args: argparse.Namespace) -> int:
    """Write the artefact, print its folder and, to stderr, what there is to say of it.

    Raises:
        InputError: the source cannot be used, or the folder exists.
    """
    source = args.source.resolve()
    out = args.out or Path("adopted") / (source.stem if source.is_file() else source.name)
    for note in adopt.adopt(args.source, out, args.cache):
        sys.stderr.write(f"{note}\n")
    sys.stdout.write(f"{out}\n")
    return 0
