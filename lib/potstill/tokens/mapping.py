"""Mapped files whose pages do not stay: what was read is given back, and comes again when needed.

A mapped page counts as memory of the process until the kernel takes it, so a process that has read
a whole file at random would seem as large as the file. What is given back stays in its cache.
"""

import mmap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

KEPT_ROWS = 16  # whose pages stay mapped; a row read at random maps up to half a megabyte

T = TypeVar("T")
U = TypeVar("U")


def give_back(maps: Iterable[Any]) -> None:
    """Unmap the pages of some `mmap.mmap` that were read."""
    for one in maps:
        one.madvise(mmap.MADV_DONTNEED)


class MappedFile:
    """A file's bytes where they lie.

    Attributes:
        bytes: the mapping.
    """

    def __init__(self, path: Path) -> None:
        """Map a file.

        Raises:
            OSError: it cannot be read, or is empty.
        """
        self._num_read = 0
        with path.open("rb") as file:
            try:
                self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise OSError(str(error)) from None

    def count_row(self) -> None:
        """Note that a row was read; every so many, pages are given back."""
        self._num_read += 1
        if self._num_read % KEPT_ROWS == 0:
            give_back([self.bytes])

    def each(self, read: Callable[[T], U], parts: Iterable[T]) -> list[U]:
        """Return what is read of each part of the file; pages are given back after each."""
        found = []
        for part in parts:
            found.append(read(part))
            give_back([self.bytes])
        return found
