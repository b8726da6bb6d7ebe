"""What zstd saves of artefacts, by format and quantisation.

    python -m benchmarks.archives [ARTEFACT ...] [--levels 3 19] [--least 0.05]

A line for each artefact (default: all in models/artefacts) and level: bytes as they are and
compressed, file by file, each unpacked again and compared; what is saved of all and of the model
files alone, and whether it is worth an archive: at least the share `--least` of all. One thread.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from potstill.models.checkpoint import SIDE_FILES
from potstill.runtime import artifact


class Packed(NamedTuple):
    """One file: bytes before and after, seconds of processor time to compress and to unpack."""

    before: int
    after: int
    packing: float
    unpacking: float


def pack(path: Path, level: int) -> Packed:
    """Compress a file in memory, unpack it and see that it is the same."""
    codec = pa.Codec("zstd", compression_level=level)
    data = path.read_bytes()
    started = time.process_time()
    packed = codec.compress(data)
    done = time.process_time()
    again = codec.decompress(packed, len(data))
    end = time.process_time()
    assert again.to_pybytes() == data, f"{path} is not what was packed"
    return Packed(len(data), len(packed), done - started, end - done)


def saving(files: Sequence[Packed]) -> float:
    """Return the share of bytes that are saved."""
    return 1 - sum(one.after for one in files) / sum(one.before for one in files)


def main() -> None:
    """Print a JSON line for each artefact and level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artefacts", type=Path, nargs="*")
    parser.add_argument("--levels", type=int, nargs="+", default=[3, 19])
    parser.add_argument("--least", type=float, default=0.05)
    given = parser.parse_args()
    artefacts = given.artefacts or sorted(Path("models/artefacts").iterdir())
    for folder in artefacts:
        described = artifact.verify(folder)
        for level in given.levels:
            packed = {name: pack(folder / name, level) for name in described["files"]}
            every = list(packed.values())
            share = saving(every)
            line = {
                "artefact": folder.name,
                "format": described["format"],
                "quantisation": described["quantisation"],
                "level": level,
                "bytes": sum(one.before for one in every),
                "packed": sum(one.after for one in every),
                "saving": round(share, 4),
                "saving_model": round(
                    saving([one for name, one in packed.items() if name not in SIDE_FILES]), 4
                ),
                "worth": share >= given.least,
                "packing_s": round(sum(one.packing for one in every), 2),
                "unpacking_s": round(sum(one.unpacking for one in every), 2),
                "n": len(every),
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
