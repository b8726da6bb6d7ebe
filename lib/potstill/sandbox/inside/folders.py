"""Private folders where nothing can be mounted: one for each case, writable by it alone.

A server keeps one folder, in shared memory where there is room; each case makes its own below it,
under a name that cannot be guessed and that no case may list. A case's folder goes when the case
has ended, however it ended. The server's goes with the server; its starter and its client look
after that too, and a later server removes one whose processes were all killed at once.

Below a case's folder everything is hostile: names may be links, folders may have any mode and
depth, and while the case runs one may take the place of another. So nothing here follows a link or
goes up, and no path is longer than a name.

Bounded by measuring, every few milliseconds and at the end: bytes and files below the folder, and
files that are deleted but open. Not counted: what was written since the last look, deleted files
that are mapped but not open (at most the address space), whatever else fills the same file system.
"""

# ruff: noqa: PTH101, PTH102, PTH106, PTH110, PTH115, PTH116, PTH208
# pathlib and what it imports would be copied for every case.
import contextlib
import fcntl
import os
import stat
import time

from .limits import NUM_FILES

BASES = ("/dev/shm", "/tmp", "/var/tmp")
PREFIX = "potstill-cases-"
LOOK_S = 0.01  # between two looks at what a case has written
_ROOM_BYTES = 1 << 28  # for some cases at a time: containers often have less shared memory
_BLOCK_BYTES = 512  # of st_blocks
_PAGE_BYTES = 4096  # of a file in memory; a disk's own blocks for it do not count
_DEEPEST = 200  # each level takes a descriptor of the server's
_TRIES, _PAUSE_S = 200, 0.01
_GONE = (FileNotFoundError, NotADirectoryError)  # or another has taken its place
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make(name: str) -> str:
    """Make a server's folder, held until the last process that has it open has ended.

    Raises:
        OSError: none of `BASES` can be written.
    """
    problem: OSError | None = None
    for base in sorted(map(os.path.realpath, BASES), key=_room, reverse=True):
        try:
            _sweep(base)
            _make_held(f"{base}/{name}")
        except OSError as error:
            problem = error
            continue
        return f"{base}/{name}"
    raise OSError(f"no private folder for programs in {', '.join(BASES)}: {problem}")


def _room(base: str) -> int:
    try:
        found = os.statvfs(base)
    except OSError:
        return 0
    return min(found.f_bavail * found.f_frsize, _ROOM_BYTES)


def _make_held(path: str) -> None:
    held = None
    while held is None or not os.path.exists(path):  # else a sweep came before the lock
        os.mkdir(path, 0o700)
        with contextlib.suppress(FileNotFoundError):
            held = os.open(path, os.O_RDONLY | _FOLDER)
            fcntl.flock(held, fcntl.LOCK_EX)


def _sweep(base: str) -> None:
    """Remove the folders of this user's servers whose processes are gone."""
    for name in os.listdir(base):
        if not name.startswith(PREFIX):
            continue
        with contextlib.suppress(OSError):  # another's, held, or gone
            folder = os.open(f"{base}/{name}", os.O_RDONLY | _FOLDER)
            try:
                if os.fstat(folder).st_uid == os.getuid():
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove(f"{base}/{name}")
            finally:
                os.close(folder)


def remove(path: str) -> None:
    """Remove a folder with all that is in it, if it is there; waits for a case that still ends.

    Raises:
        OSError: it cannot be removed.
    """
    for left in reversed(range(_TRIES)):
        try:
            folder = _open(path)
        except FileNotFoundError:
            return
        try:
            _empty(folder)
            os.rmdir(path)
        except OSError:
            if not left:
                raise
            time.sleep(_PAUSE_S)
        finally:
            os.close(folder)


def remove_server(name: str) -> None:
    """Remove what a server has left that could not do it itself."""
    for base in BASES:
        with contextlib.suppress(OSError):  # of a user whose files are not this one's
            remove(f"{base}/{name}")


def _open(name: str, above: int | None = None) -> int:
    """Open a folder, but no link to one, and make it accessible."""
    handle = os.open(name, os.O_PATH | _FOLDER, dir_fd=above)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{handle}", mode | stat.S_IRWXU)
        return os.open(".", os.O_RDONLY | _FOLDER, dir_fd=handle)
    finally:
        os.close(handle)


def _empty(folder: int) -> None:
    """Remove all in a folder; what is deeper is moved up first, so that depth does not matter."""
    while names := os.listdir(folder):
        for name in names:
            if _unlink(name, folder):
                continue
            inner = _open(name, folder)
            try:
                for each in os.listdir(inner):
                    if not _unlink(each, inner):
                        os.close(_open(each, inner))  # only an accessible one can be moved
                        above = os.urandom(8).hex()
                        os.rename(each, above, src_dir_fd=inner, dst_dir_fd=folder)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=folder)


def _unlink(name: str, folder: int) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return False
    return True


def is_within(path: str, process: int, max_bytes: int) -> bool:
    """Say whether what a case has written is within its limits."""
    use = _Use(max_bytes)
    try:
        with contextlib.suppress(FileNotFoundError):  # the case is about to make it, or has ended
            use.add_folder(_open(path), _DEEPEST)
            use.add_deleted(path, process)
    except (_TooMuch, OSError):  # what cannot be counted is too much
        return False
    return True


class _TooMuch(Exception):  # noqa: N818 - an event, not an error
    """A case has written more than it may."""


class _Use:
    """What is left of a case's limits, counted as a file system in memory does."""

    def __init__(self, max_bytes: int) -> None:
        self._bytes = max_bytes
        self._files = NUM_FILES - 1  # and the folder itself

    def _add(self, found: os.stat_result) -> None:
        if stat.S_ISREG(found.st_mode):
            pages_bytes = -(-found.st_size // _PAGE_BYTES) * _PAGE_BYTES
            used_bytes = min(found.st_blocks * _BLOCK_BYTES, pages_bytes)
            self._bytes -= used_bytes // max(found.st_nlink, 1)  # each name has a share
        self._files -= 1
        if self._bytes < 0 or self._files < 0:
            raise _TooMuch

    def add_folder(self, folder: int, levels: int) -> None:
        """Count all below an open folder and close it."""
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    with contextlib.suppress(*_GONE):
                        self._add(entry.stat(follow_symlinks=False))
                        if entry.is_dir(follow_symlinks=False):
                            if not levels:
                                raise _TooMuch
                            self.add_folder(_open(entry.name, folder), levels - 1)
        finally:
            os.close(folder)

    def add_deleted(self, path: str, process: int) -> None:
        """Count the files that a process has open below a path though they are deleted."""
        # Permission is lacking for a process that is ending; a running one cannot hide.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            for number in os.listdir(f"/proc/{process}/fd"):
                link = f"/proc/{process}/fd/{number}"
                with contextlib.suppress(*_GONE):
                    if os.readlink(link).startswith(path):
                        found = os.stat(link)
                        if not found.st_nlink:
                            self._add(found)
