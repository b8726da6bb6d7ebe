"""Seccomp: the system calls that a program may not make.

A deny list, because Python needs many calls; the namespaces and Landlock stand behind it. Calls
newer than the list and those of another machine's numbering are refused as unknown.
"""

import ctypes
import errno
from collections.abc import Collection

from . import syscalls

# Refused with EPERM; numbers on x86_64 and aarch64, None where a machine lacks the call.
DENIED = {
    # start programs or processes
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    # talk to a network or to other processes
    "socket": (41, 198),
    "socketpair": (53, 199),
    "bind": (49, 200),
    "connect": (42, 203),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "recvmmsg": (299, 243),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183),
    "mq_notify": (244, 184),
    "mq_getsetattr": (245, 185),
    # look into other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    # change mounts or namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount_setattr": (442, 442),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "acct": (163, 89),
    # large or old parts of the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    "io_submit": (209, 2),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "personality": (135, 92),
    "nfsservctl": (180, 42),
    "vmsplice": (278, 75),
    "remap_file_pages": (216, 234),
    # memory outside the limits
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # privileges
    "capset": (126, 91),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setgroups": (116, 159),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
}
_ALL_BITS = 0xFFFFFFFF
# Refused besides where a layer is missing that would make them harmless.
WITHOUT: dict[str, dict[str, tuple[int, int | None]]] = {
    # other processes are in sight
    "pid": {
        "kill": (62, 129),
        "tkill": (200, 130),
        "tgkill": (234, 131),
        "rt_sigqueueinfo": (129, 138),
        "rt_tgsigqueueinfo": (297, 240),
        "prlimit64": (302, 261),
        "setpriority": (141, 140),
        "sched_setaffinity": (203, 122),
        "sched_setscheduler": (144, 119),
        "sched_setparam": (142, 118),
        "sched_setattr": (314, 274),
        "ioprio_set": (251, 30),
    },
    # files of the host's are in sight, and Landlock has no rights for these
    "mount": {
        "chmod": (90, None),
        "fchmod": (91, 52),
        "fchmodat": (268, 53),
        "chown": (92, None),
        "fchown": (93, 55),
        "lchown": (94, None),
        "fchownat": (260, 54),
        "truncate": (76, 45),
        "utime": (132, None),
        "utimes": (235, None),
        "futimesat": (261, None),
        "utimensat": (280, 88),
        "setxattr": (188, 5),
        "lsetxattr": (189, 6),
        "fsetxattr": (190, 7),
        "removexattr": (197, 14),
        "lremovexattr": (198, 15),
        "fremovexattr": (199, 16),
        "inotify_init": (253, None),
        "inotify_init1": (294, 26),
        "openat2": (437, 437),  # its flags are out of sight
    },
}
_Setting = tuple[tuple[int, int | None], int, tuple[int, ...], int]
# Of these calls only some settings: the place of the argument that says which, its refused values,
# and a mask of the bits that matter.
SETTINGS_WITHOUT: dict[str, dict[str, _Setting]] = {
    "pid": {
        # PR_SET_PDEATHSIG, PR_SET_DUMPABLE: it ends with the server, which may look at it
        "prctl": ((157, 167), 0, (1, 4), _ALL_BITS),
        # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals to others
        "fcntl": ((72, 25), 1, (8, 10, 15), _ALL_BITS),
    },
    # O_TRUNC without writing empties a file, for which Landlock has a right from ABI 3 on
    "mount": {
        "open": ((2, None), 1, (0o1000, 0o1003), 0o1003),
        "openat": ((257, 56), 2, (0o1000, 0o1003), 0o1003),
    },
}
# Space for files taken in no time, faster than it is measured; the C library writes instead.
FALLOCATE = (285, 47)
CLONE, CLONE3 = (56, 220), (435, 435)
CLONE_THREAD = 0x00010000
NEWEST = 450  # set_mempolicy_home_node: the last call that the list was checked against
AUDIT_ARCH = (0xC000003E, 0xC00000B7)

_LOAD, _AND, _JUMP_EQUAL, _JUMP_AT_LEAST = 0x20, 0x54, 0x15, 0x35
_JUMP_SET, _RETURN = 0x45, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGUMENT = 0, 4, 16
_Line = tuple[int, int, int, int]  # code, jump if true, jump if false, value
_ALLOW: _Line = (_RETURN, 0, 0, 0x7FFF0000)
_KILL: _Line = (_RETURN, 0, 0, 0x80000000)
_REFUSE: _Line = (_RETURN, 0, 0, 0x00050000 | errno.EPERM)
_UNKNOWN: _Line = (_RETURN, 0, 0, 0x00050000 | errno.ENOSYS)
_UNSUPPORTED: _Line = (_RETURN, 0, 0, 0x00050000 | errno.EOPNOTSUPP)
_THREADS_ONLY: list[_Line] = [
    (_LOAD, 0, 0, _OFFSET_ARGUMENT),
    (_JUMP_SET, 0, 1, CLONE_THREAD),
    _ALLOW,
    _REFUSE,
]


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("first", ctypes.POINTER(_Instruction)))


def instructions(layers: Collection[str] = tuple(WITHOUT)) -> list[_Line]:
    """Return the filter for this machine as classic BPF; `layers` are the others in force.

    A tree over the numbers: the kernel tries every number when it installs a filter, and a list of
    comparisons would cost more than the rest of a case's layers.

    Raises:
        OSError: the machine's numbers are not known.
    """
    column = syscalls.machine()
    answers = [[_ALLOW] for _ in range(NEWEST + 1)]
    missing = [calls for layer, calls in WITHOUT.items() if layer not in layers]
    for number in (n[column] for calls in (DENIED, *missing) for n in calls.values()):
        if number is not None:
            answers[number] = [_REFUSE]
    for layer, calls in SETTINGS_WITHOUT.items():
        for numbers, argument, values, mask in calls.values() if layer not in layers else ():
            number = numbers[column]
            if number is not None:
                answers[number] = _all_but(argument, values, mask)
    if "mount" not in layers:
        answers[FALLOCATE[column]] = [_UNSUPPORTED]
    answers[CLONE[column]] = _THREADS_ONLY
    answers[CLONE3[column]] = [_UNKNOWN]  # its flags are out of sight; the C library has clone
    ranges = [(0, answers[0])]
    for number, answer in enumerate([*answers, [_UNKNOWN]]):  # x32 numbers are above as well
        if answer != ranges[-1][1]:
            ranges.append((number, answer))
    return [
        (_LOAD, 0, 0, _OFFSET_ARCH),
        (_JUMP_EQUAL, 1, 0, AUDIT_ARCH[column]),
        _KILL,
        (_LOAD, 0, 0, _OFFSET_NUMBER),
        *_tree(ranges),
    ]


def _all_but(argument: int, values: tuple[int, ...], mask: int) -> list[_Line]:
    """Return the answer that refuses a call where an argument has one of some values."""
    jumps = [(_JUMP_EQUAL, len(values) - n, 0, value) for n, value in enumerate(values)]
    load = [(_LOAD, 0, 0, _OFFSET_ARGUMENT + 8 * argument), (_AND, 0, 0, mask)]
    return [*load, *jumps, _ALLOW, _REFUSE]


def _tree(ranges: list[tuple[int, list[_Line]]]) -> list[_Line]:
    """Return a binary search for the answer whose range, from its first number on, fits."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _tree(ranges[:middle]), _tree(ranges[middle:])
    return [(_JUMP_AT_LEAST, len(below), 0, ranges[middle][0]), *below, *above]


def build(layers: Collection[str]) -> ctypes.Structure:
    """Return the filter as the kernel takes it; built once, before cases are forked."""
    program = instructions(layers)
    array = (_Instruction * len(program))(*(_Instruction(*line) for line in program))
    return _Program(len(program), array)


def restrict(program: ctypes.Structure) -> None:
    """Put a filter of `build` on this process for good; no_new_privs must be set."""
    syscalls.prctl(syscalls.PR_SET_SECCOMP, 2, ctypes.byref(program))
