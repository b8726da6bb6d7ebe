"""Mine documented Python and JavaScript functions, each with what it needs of its module.

Reads   (the sources that params name; name and version of each are in every row)
Writes  out         JSONL of functions: name, arguments, docstring, code, source, licence, group
        modules_out JSONL of the source files of training modules, whole: group, text
        metrics     functions found and kept, dropped by reason; Python version
"""

import platform
from collections import Counter
from pathlib import Path
from typing import Annotated

from potstill import files, stage
from potstill.errors import InputError
from potstill.mining import mining, places
from potstill.params import Section
from pydantic import Field


class Source(Section):
    """Where functions are taken from."""

    from_: Annotated[str, Field(alias="from")]  # stdlib, or package, npm, folder, archive:WHICH
    licence: str | None = None  # null takes what the maker states


class Params(Section):
    """Settings of `mine_functions`."""

    sources: list[Source]
    min_code_characters: Annotated[int, Field(ge=0)]
    max_code_characters: Annotated[int, Field(ge=1)]


def main(params: Params, *, out: Path, modules_out: Path) -> dict[str, int | str]:
    """Keep functions of a learnable size; subset and execution are judged in `curate`."""
    found = [places.find(source.from_, source.licence) for source in params.sources]
    names = [place.name for place in found]
    if len(set(names)) < len(names):
        raise InputError(f"mine_functions.sources has one place twice: {', '.join(sorted(names))}")
    rows, reasons = mining.count(each for place in found for each in mining.mine(place))
    limits = range(params.min_code_characters, params.max_code_characters + 1)
    kept = [row for row in rows if len(row["code"]) in limits]
    files.write_jsonl(out, kept)
    modules = (each for place in found for each in mining.modules(place, "train"))
    return {
        "functions_found": len(rows) + reasons.total(),
        "functions_kept": len(kept),
        **Counter(f"kept_{row['language']}" for row in kept),
        "modules": len({row["group"] for row in kept}),
        "training_modules": files.write_jsonl(modules_out, modules),
        "dropped_size": len(rows) - len(kept),
        **{f"dropped_{reason}": count for reason, count in sorted(reasons.items())},
        "python_version": platform.python_version(),
    }


if __name__ == "__main__":
    stage.run(main, Params)
