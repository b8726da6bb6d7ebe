"""What `os` offers for attributes of files, where seccomp refuses the system calls.

Landlock has no rights for modes and times, so nothing may change them where files of the host's are
in sight. But the standard library sets them on the way, as shutil.copy does, and a program that
copies a file should not fail for it: below a case's own folder chmod and utime do nothing, and
truncate works on an open file. Anywhere else they are refused as before. Protects nothing: a
program may undo it.
"""

# ruff: noqa: ARG001, PTH109, PTH115, PTH118
# `os` has these arguments; pathlib and what it imports would be copied for every case.
import errno
import os
from typing import Any

File = int | str | bytes | os.PathLike[Any]


def stand_in(own: str) -> None:
    """Put the functions for files below the folder `own` into `os`."""

    def check(path: File, dir_fd: int | None, follow_symlinks: bool) -> None:
        os.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)  # raises for a missing file
        if isinstance(path, int):
            name = os.readlink(f"/proc/self/fd/{path}")
        else:
            above = os.getcwd() if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
            name = os.path.join(above, os.fsdecode(path))
            parent, last = os.path.split(name)
            name = os.path.realpath(name if follow_symlinks else parent)
            name = name if follow_symlinks else os.path.join(name, last)
        if not f"{name}/".startswith(f"{own}/"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)

    def chmod(
        path: File, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        check(path, dir_fd, follow_symlinks)

    def fchmod(fd: int, mode: int) -> None:
        check(fd, None, True)

    def utime(
        path: File,
        times: tuple[float, float] | None = None,
        *,
        ns: tuple[int, int] | None = None,
        dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        check(path, dir_fd, follow_symlinks)

    def truncate(path: File, length: int) -> None:
        if isinstance(path, int):
            os.ftruncate(path, length)
            return
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(file, length)
        finally:
            os.close(file)

    for function in (chmod, fchmod, utime, truncate):
        setattr(os, function.__name__, function)
