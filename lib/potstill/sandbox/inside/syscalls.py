"""Linux system calls that Python's standard library does not offer, each raising OSError.

Numbers are for x86_64 and aarch64, the machines on which the sandbox's layers are built.
Source: linux/arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

import ctypes
import os
import platform

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# Array types are made here, once: making one costs more than the call that it is for.
_Header = ctypes.c_uint32 * 2
_Capabilities = ctypes.c_uint32 * 6  # effective, permitted, inheritable: low words, then high words
_MountAttributes = ctypes.c_uint64 * 4

MACHINES = ("x86_64", "aarch64")
NUMBERS = {
    "pivot_root": (155, 41),
    "close_range": (436, 436),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
AT_RECURSIVE = 0x8000
AT_FDCWD = -100

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522


def machine() -> int:
    """Return this machine's column in a table of system call numbers.

    Raises:
        OSError: the machine is neither x86_64 nor aarch64.
    """
    name = platform.machine()
    if name not in MACHINES:
        raise OSError(f"no system call numbers for {name}; there are for {' and '.join(MACHINES)}")
    return MACHINES.index(name)


def _check(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def syscall(name: str, *arguments: object) -> int:
    """Call by name; integers are passed as 64 bits, the rest as ctypes passes it."""
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _check(name, _libc.syscall(ctypes.c_long(NUMBERS[name][machine()]), *wide))


def prctl(option: int, value: int, pointer: object = None) -> None:
    """Set one property of this process; arguments that the option does not use are 0."""
    zero = ctypes.c_ulong(0)
    third = zero if pointer is None else pointer
    _check("prctl", _libc.prctl(option, ctypes.c_ulong(value), third, zero, zero))


def close_from(first: int) -> None:
    """Close every descriptor from a number on."""
    syscall("close_range", first, 0xFFFFFFFF, 0)


def unshare(flags: int) -> None:
    """Leave the namespaces named by CLONE_* flags for fresh ones."""
    _check("unshare", _libc.unshare(flags))


def setns(descriptor: int, kind: int) -> None:
    """Enter the namespace of a descriptor."""
    _check("setns", _libc.setns(descriptor, kind))


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Attach a file system or change one; arguments as in section 2 of the manual."""
    names = [None if text is None else text.encode() for text in (source, target, kind)]
    _check("mount", _libc.mount(*names, ctypes.c_ulong(flags), data.encode()))


def unmount(target: str) -> None:
    """Take a mount out of the tree at once."""
    _check("umount2", _libc.umount2(target.encode(), MNT_DETACH))


def protect_mounts(target: str) -> None:
    """Make a mount and all below it read-only, without set-uid programs and devices."""
    attributes = _MountAttributes(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
    size = ctypes.sizeof(attributes)
    syscall("mount_setattr", AT_FDCWD, target.encode(), AT_RECURSIVE, attributes, size)


def permitted_capabilities() -> int:
    """Return the capabilities that this process has or may raise, as a mask."""
    data = _Capabilities()
    _check("capget", _libc.capget(_Header(_CAPABILITY_VERSION_3, 0), data))
    return data[1] | data[4] << 32


def raise_capabilities() -> None:
    """Make every permitted capability effective."""
    header, data = _Header(_CAPABILITY_VERSION_3, 0), _Capabilities()
    _check("capget", _libc.capget(header, data))
    data[0], data[3] = data[1], data[4]
    _check("capset", _libc.capset(header, data))


def drop_capabilities(but: int = 0) -> None:
    """Give up for good every capability that is not in the mask `but`, which is made effective.

    Raises:
        OSError: one in `but` is not there to be kept.
    """
    low = but & 0xFFFFFFFF, but & 0xFFFFFFFF, 0
    high = but >> 32, but >> 32, 0
    _check("capset", _libc.capset(_Header(_CAPABILITY_VERSION_3, 0), _Capabilities(*low, *high)))
