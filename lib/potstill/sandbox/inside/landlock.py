"""Landlock: what this process may do with files, whatever the mounts allow.

Source: the kernel's Documentation/userspace-api/landlock.rst.
"""

import ctypes
import os

from . import syscalls

READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE_FILE, REMOVE_DIR, REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 7, 1 << 8, 1 << 12
REFER, TRUNCATE = 1 << 13, 1 << 14  # from ABI 2 and 3
READ = READ_FILE | READ_DIR
WRITE = WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE
# How many of the rights on files each ABI knows: executing, making devices, ... up to TRUNCATE
# and ioctl on devices. All that it knows are handled, and so refused where no rule grants them.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
TCP = 0b11  # bind and connect, from ABI 4
SCOPES = 0b11  # abstract sockets and signals, from ABI 6
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_Attributes = ctypes.c_uint64 * 3


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def abi() -> int:
    """Return the kernel's Landlock version.

    Raises:
        OSError: the kernel has none, or it is switched off.
    """
    return syscalls.syscall("landlock_create_ruleset", None, 0, _VERSION_FLAG)


def restrict(readable: list[str], writable: str | None) -> None:
    """Allow this process, for good, to read below `readable` and to write below `writable` alone.

    It can execute nothing, make no device, open no TCP connection and signal no other process, as
    far as the kernel's version knows these rights. no_new_privs must be set.
    """
    version = abi()
    handled = (1 << FILE_RIGHTS[min(version, 5)]) - 1
    size = 8 if version < 4 else 16 if version < 6 else 24
    attributes = _Attributes(handled, TCP, SCOPES)
    ruleset = syscalls.syscall("landlock_create_ruleset", attributes, size, 0)
    for path in readable:
        _allow(ruleset, path, READ)
    if writable is not None:
        _allow(ruleset, writable, (READ | WRITE) & handled)
    syscalls.syscall("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = _PathBeneath(rights, folder)
    syscalls.syscall("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    os.close(folder)
