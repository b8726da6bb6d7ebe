"""Resource limits of one case: the kernel's, and the watch over its clocks."""

# ruff: noqa: PTH116, PTH208
# pathlib and what it imports would be copied for every case.
import math
import os
import resource
import time
from typing import Any

# The server's own processes, which count as the same user.
_OWN_PROCESSES = 4
NUM_FILES = 4096  # that a case may have, folders included


def processes_of(user: int) -> int:
    """Return how many processes and threads a user has in sight: the kernel's limit counts them."""
    count = 0
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:  # it has just ended
            continue
    return count


def apply(limits: dict[str, Any], others: int) -> None:
    """Set this process's limits for good; `limits` has the fields of `api.Limits`.

    `others` are processes of the same user that are none of the server's.

    The processor time set here is a second late: the server ends the case first and says why.
    """
    processor_s = math.ceil(limits["cpu_s"]) + 1
    values = {
        resource.RLIMIT_CPU: processor_s,
        resource.RLIMIT_AS: limits["memory_mb"] << 20,
        resource.RLIMIT_NPROC: limits["processes"] + _OWN_PROCESSES + others,
        resource.RLIMIT_FSIZE: limits["file_mb"] << 20,
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    for name, value in values.items():
        hard = resource.getrlimit(name)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (allowed, allowed))


def processor_seconds(process: int) -> float:
    """Return the processor time of a child so far, in seconds; 0 once it has gone."""
    try:
        return time.clock_gettime((~process << 3) | 2)  # clock_getcpuclockid(3)
    except OSError:
        return 0.0
