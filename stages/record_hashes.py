"""Record the SHA-256 of everything that the pipeline wrote, for `potstill verify`.

DVC checks out a damaged cache object without a word; this list is in git, and tells.

Reads   data, models  every file below
Writes  out           SHA256SUMS: coreutils' format, sorted, paths relative to the project's root
Metrics num_files, total_bytes
"""

from pathlib import Path

from potstill import hashes, stage
from potstill.params import Section


class Params(Section):
    """This stage has no settings."""


def main(_: Params, *, data: Path, models: Path, out: Path) -> dict[str, int]:
    """Write the hashes of all files below the two folders."""
    num_files, total_bytes = hashes.write(out, [data, models])
    return {"num_files": num_files, "total_bytes": total_bytes}


if __name__ == "__main__":
    stage.run(main, Params)
