"""Refuse system calls as a container's profile does, with a real seccomp filter; then run a script.

python refuse.py CALL[,CALL...] SCRIPT: the filter holds for this process and all its children.
"""

import ctypes
import runpy
import sys

# On x86_64 and aarch64.
CALLS = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
}
CLONE, CLONE3 = (56, 220), (435, 435)
NEW_NAMESPACES = 0x7E020000
EPERM, ENOSYS = 0x00050001, 0x00050026
ALLOW = 0x7FFF0000


class Line(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8),
                ("value", ctypes.c_uint32))  # fmt: skip


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("first", ctypes.POINTER(Line)))


def lines(names):
    import platform

    column = ("x86_64", "aarch64").index(platform.machine())
    yield 0x20, 0, 0, 0  # load the number
    for name in names:
        yield 0x15, 0, 1, CALLS[name][column]
        yield 0x06, 0, 0, EPERM
    if "unshare" in names:  # what clone can do as well
        yield 0x15, 0, 1, CLONE3[column]
        yield 0x06, 0, 0, ENOSYS
        yield 0x15, 0, 4, CLONE[column]
        yield 0x20, 0, 0, 16
        yield 0x45, 0, 1, NEW_NAMESPACES
        yield 0x06, 0, 0, EPERM
        yield 0x06, 0, 0, ALLOW
    yield 0x06, 0, 0, ALLOW


def refuse(names):
    program = [Line(*line) for line in lines(names)]
    array = (Line * len(program))(*program)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # no_new_privs
    filter_ = Program(len(program), array)
    assert libc.prctl(22, 2, ctypes.byref(filter_)) == 0, ctypes.get_errno()


if __name__ == "__main__":
    refuse([name for name in sys.argv[1].split(",") if name])
    runpy.run_path(sys.argv[2], run_name="__main__")
