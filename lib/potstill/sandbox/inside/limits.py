"""Resource limits of one case: the kernel's, and the watch over its clocks."""

import math
import resource
import time
from typing import Any

# The server's own processes, which count as the same user.
_OWN_PROCESSES = 4


def apply(limits: dict[str, Any]) -> None:
    """Set this process's limits for good; `limits` has the fields of `api.Limits`.

    The processor time set here is a second late: the server ends the case first and says why.
    """
    processor_s = math.ceil(limits["cpu_s"]) + 1
    values = {
        resource.RLIMIT_CPU: processor_s,
        resource.RLIMIT_AS: limits["memory_mb"] << 20,
        resource.RLIMIT_NPROC: limits["processes"] + _OWN_PROCESSES,
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
