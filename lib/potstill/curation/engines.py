"""Where shards are judged: here, in processes of this machine, or by a Ray cluster.

Each engine calls the same function with the same arguments, so the bytes are the same. It holds a
few shards at a time: the next is read when one is done.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal

from potstill.errors import InputError

Engine = Literal["local", "ray"]
Rows = list[dict[str, Any]]
Task = tuple[Rows, Path]
Judge = Callable[[Rows, Any, Path], None]
_given: list[Any] = []  # function and rules, of a process of the pool


def run(engine: Engine, judge: Judge, rules: object, tasks: Iterable[Task], workers: int) -> None:
    """Call judge(rows, rules, path) for each of the tasks, in any order.

    Args:
        engine: local, or ray, which starts a Ray here unless RAY_ADDRESS names a cluster; all its
            machines must see the paths under the same names.
        judge: a function of a module.
        rules: its second argument, which goes to each process once.
        tasks: read as they are needed.
        workers: processes; locally not more than there are cores.

    Raises:
        InputError: Ray is not installed.
    """
    (_ray if engine == "ray" else _local)(judge, rules, tasks, workers)


def _local(judge: Judge, rules: object, tasks: Iterable[Task], workers: int) -> None:
    processes = min(workers, len(os.sched_getaffinity(0)))
    if processes == 1:
        for rows, path in tasks:
            judge(rows, rules, path)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _begin, (judge, rules)) as pool:
        _flow(
            tasks,
            lambda rows, path: pool.submit(_judge, rows, path),
            lambda future: future.result(),
            processes + 2,
        )


def _begin(judge: Judge, rules: object) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with its parent
    _given.extend((judge, rules))


def _judge(rows: Rows, path: Path) -> None:
    judge, rules = _given
    judge(rows, rules, path)


def _ray(judge: Judge, rules: object, tasks: Iterable[Task], workers: int) -> None:
    try:
        import ray
    except ImportError:
        raise InputError("engine ray needs Ray: pip install 'potstill[ray]'") from None
    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():
            here = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers}
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="error", **here)
            stack.callback(ray.shutdown)
        remote, shared = ray.remote(judge), ray.put(rules)
        _flow(
            tasks,
            lambda rows, path: remote.remote(rows, shared, path.resolve()),
            ray.get,
            workers + 2,
        )


def _flow(
    tasks: Iterable[Task],
    submit: Callable[[Rows, Path], Any],
    wait: Callable[[Any], object],
    most: int,
) -> None:
    """Submit tasks, at most so many ahead of the oldest that is not done."""
    running: deque[Any] = deque()
    for rows, path in tasks:
        running.append(submit(rows, path))
        if len(running) == most:
            wait(running.popleft())
    for each in running:
        wait(each)
