"""Parts of a signal store while it is filled: whole or absent, and named by what they hold.

A part's name is a hash of the store's header and its rows' keys, so a run that was killed takes up
what is whole, and one with other settings or rows never does.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from potstill import files
from potstill.logits.codecs import Blob
from potstill.logits.store import KEY_BYTES, Header, packed_keys


@dataclass(frozen=True)
class Part:
    """Rows of a part file, in its order.

    Attributes:
        keys: bytes [R, 16] of each row's key.
        tokens: tokens of each row [R].
        sizes: bytes of each row [R].
        data: the rows' bytes, one after the other.
    """

    keys: NDArray[np.uint8]
    tokens: NDArray[np.uint32]
    sizes: NDArray[np.uint32]
    data: Blob

    def blobs(self) -> list[Blob]:
        """Return the bytes of each row."""
        return np.split(self.data, np.cumsum(self.sizes.astype(np.int64))[:-1])


def part_path(folder: Path, header: Header, keys: Sequence[str]) -> Path:
    """Return where the part with these rows is, or will be."""
    text = json.dumps([asdict(header), *keys], sort_keys=True)
    return folder / f"part-{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"


def is_whole(path: Path) -> bool:
    """Say whether a part can be read; only a disk that lost bytes makes one that cannot."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="np"):
            return True
    except SafetensorError:
        return False


def write_part(
    path: Path, keys: Sequence[str], blobs: Sequence[Blob], tokens: Sequence[int]
) -> None:
    """Write a part in one step, so that a run that was killed finds it whole or not at all."""
    tensors = {
        "keys": packed_keys(keys).view(np.uint8).reshape(-1, KEY_BYTES),
        "tokens": np.array(tokens, np.uint32),
        "sizes": np.array([len(blob) for blob in blobs], np.uint32),
        "data": np.concatenate(blobs),
    }
    partial = files.partial_path(path)
    save_file(tensors, partial)
    files.publish(partial, path)


def read_part(path: Path) -> Part:
    """Return what a part holds."""
    return Part(**load_file(path))


def read_keys(path: Path) -> NDArray[np.uint8]:
    """Return the keys of a part [R, 16] without reading its data."""
    with safe_open(path, framework="np") as part:
        keys: NDArray[np.uint8] = part.get_tensor("keys")
    return keys
