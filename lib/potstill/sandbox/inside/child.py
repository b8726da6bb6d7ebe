"""A forked child becomes a case: descriptors, private folder, no rights, limits, then its work."""

# ruff: noqa: PTH102
# pathlib and what it imports would be copied for every case.
import ctypes
import fcntl
import os
import signal
from dataclasses import dataclass
from typing import Any

from . import attributes, judge, landlock, limits, namespaces, program, seccomp, syscalls
from .channel import Channel

_CHANNEL, _REPORT = 3, 4  # after stdin, stdout and stderr
_FREE = 64  # above every descriptor that is put in place


@dataclass(frozen=True)
class Confinement:
    """What every case of a server is confined by."""

    layers: set[str]  # in force
    denied: ctypes.Structure | None  # the filter of `seccomp.build`, None without that layer
    visible: list[str]  # paths that Landlock lets a case read
    server: int  # the parent that a case sees: 0 in a process namespace
    kept: int  # the capabilities that a case keeps, as a mask


def become(
    request: dict[str, Any],
    descriptors: list[int],
    report: int,
    confinement: Confinement,
    others: int,
    folder: str | None,
) -> None:
    """Turn this process into the case that a request describes; never returns.

    `others` are the case's user's other processes; `folder` is to be its private one, where it has
    no /tmp of its own. What goes wrong before any of the program's code runs is written to
    `report`.
    """
    code = 1
    try:
        _place(descriptors, report)
        try:
            _confine(request["limits"], confinement, others, folder)
        except (OSError, MemoryError) as error:
            os.write(_REPORT, repr(error).encode())
            return
        os.close(_REPORT)
        if request["role"] == "judge":
            code = judge.main(Channel(_CHANNEL))
        else:
            code = program.main(Channel(_CHANNEL), request["limits"])
    finally:
        os._exit(code)


def _place(descriptors: list[int], report: int) -> None:
    """Put the descriptors at 0, 1, 2, ... and close all others, the server's among them."""
    wanted = [*descriptors, report]
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _FREE) for descriptor in wanted]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number)
    syscalls.close_from(len(wanted))


def _confine(
    values: dict[str, Any], confinement: Confinement, others: int, folder: str | None
) -> None:
    layers = confinement.layers
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != confinement.server:  # it ended before it was asked to take this with it
        os._exit(1)
    if "tmpfs" in layers:
        namespaces.mount_private(values["file_mb"])
    elif folder is not None:
        _make_private(folder)
    else:
        os.chdir("/")
    syscalls.drop_capabilities(but=confinement.kept)
    limits.apply(values, others)
    if "no_new_privs" in layers:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    if "landlock" in layers:
        landlock.restrict(confinement.visible, namespaces.PRIVATE if "tmpfs" in layers else folder)
    if confinement.denied is not None:
        seccomp.restrict(confinement.denied)


def _make_private(folder: str) -> None:
    """Make an empty folder the working one, and the one for temporary files."""
    os.mkdir(folder, 0o700)
    os.chdir(folder)
    os.environ["HOME"] = os.environ["TMPDIR"] = folder
    attributes.stand_in(folder)
