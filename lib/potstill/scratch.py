"""A folder that survives a crash and is found again by the very same run; and a lock."""

import fcntl
import logging
import os
from pathlib import Path

from potstill import files
from potstill.errors import InputError

log = logging.getLogger("potstill")


def keyed(parent: Path, digest: str) -> Path:
    """Return the folder of a run below `parent`; what other runs left there is removed.

    Args:
        parent: a folder of this use alone, which one process holds at a time.
        digest: of all that decides what is kept; it is found again under an equal one only.
    """
    scratch = parent / digest[:16]
    if parent.is_dir():
        for other in parent.iterdir():
            if other != scratch:
                files.remove(other)
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


class Lock:
    """Hold a file or a folder for this process; the kernel drops the lock when it ends.

    Args:
        path: what is there already.
        busy: what to say where another process holds it; None waits.

    Raises:
        InputError: it is held, with that text.
    """

    def __init__(self, path: Path, *, busy: str | None = None) -> None:
        self.path, self.busy = path, busy

    def __enter__(self) -> None:
        self._descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if self.busy is not None:
                os.close(self._descriptor)
                raise InputError(self.busy) from None
            log.info("%s: another run of this stage is ending; waiting for it", self.path.name)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
