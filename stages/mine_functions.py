"""Mine documented functions from the Python standard library.

Reads   (the running Python's own library; its version is in every row)
Writes  out         JSONL of functions: name, docstring, code, module
        metrics     functions found and kept, Python version
"""

import platform
from pathlib import Path
from typing import Annotated

from potstill import files, stage
from potstill.mining import mining
from potstill.params import Section
from pydantic import Field


class Params(Section):
    """Settings of `mine_functions`."""

    min_code_characters: Annotated[int, Field(ge=0)]
    max_code_characters: Annotated[int, Field(ge=1)]


def main(params: Params, *, out: Path) -> dict[str, int | str]:
    """Keep functions of a learnable size; the subset check comes in `curate`."""
    found = list(mining.mine(mining.python_library()))
    limits = range(params.min_code_characters, params.max_code_characters + 1)
    kept = [row for row in found if len(row["code"]) in limits]
    files.write_jsonl(out, kept)
    return {
        "functions_found": len(found),
        "functions_kept": len(kept),
        "modules": len({row["group"] for row in kept}),
        "python_version": platform.python_version(),
    }


if __name__ == "__main__":
    stage.run(main, Params)
