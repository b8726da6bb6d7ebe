"""A function on several processes of this machine, its ranks: started, watched and ended together.

The process that starts them computes nothing. It holds the stage's lock and publishes what rank 0
wrote, so neither knows of ranks. As soon as one of them ends early it ends the others, which would
wait for it; nothing hangs on a time limit. If it dies itself, the ranks see a pipe close.

It is no torchrun: that restarts and spans machines, has no answer to give back, and would start as
many stages as ranks, which wait for each other's lock.
"""

import contextlib
import datetime
import multiprocessing
import os
import pickle
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from torch import distributed

from potstill.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")
FOR_EVER = datetime.timedelta(days=365)  # rank 0 may evaluate for hours; who dies is seen otherwise
SETTLE_S = 2.0  # in which a rank whose sockets closed can be waited for


@dataclass(frozen=True)
class _Answer:
    """What a rank says at its end."""

    result: Any = None  # of rank 0
    error: Exception | None = None
    when: float = field(default_factory=time.monotonic)


def rank() -> int:
    """Return the number of this process among the ranks, counted from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """Return the number of ranks; 1 in a process that is none."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def agreed(make: Callable[[], T]) -> T:
    """Return on every rank what rank 0 makes, which meanwhile has the threads of all."""
    if count() == 1:
        return make()
    made: list[T | None] = [None]
    if rank() == 0:
        threads = torch.get_num_threads()
        torch.set_num_threads(threads * count())
        made = [make()]
        torch.set_num_threads(threads)
    distributed.broadcast_object_list(made, src=0)
    return made[0]  # type: ignore[return-value] # a T now, on every rank


def run(processes: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns: called here, or by each of some ranks; then that of rank 0.

    Args:
        processes: how many; 1 calls it in this process.
        function: of a module; with ranks it, its arguments and its result are pickled.
        args: its arguments.
        kwargs: its arguments by name.

    Raises:
        InputError: as a rank raised it, a rank was killed, there are fewer GPUs than ranks, or this
            process is a rank of torchrun.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise InputError(
            "a stage starts its processes itself: set training.processes and run it without "
            "torchrun"
        )
    if processes == 1:
        return function(*args, **kwargs)
    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise InputError(
            f"processes is {processes}, and each needs a GPU of its own: this machine has "
            f"{torch.cuda.device_count()}"
        )
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="potstill-") as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        ranks: dict[Connection, BaseProcess] = {}
        try:
            for number in range(processes):
                answers, answer = context.Pipe(duplex=False)
                work = (number, processes, meeting, answer, function, args, kwargs)
                process: BaseProcess = context.Process(
                    target=_work, args=work, name=f"rank {number}"
                )
                process.start()
                ranks[answers] = process
                answer.close()  # so that it ends when the rank does
            result: T = _watch(ranks)
            return result
        finally:
            for process in ranks.values():
                process.kill()
                process.join()


def _watch(ranks: dict[Connection, BaseProcess]) -> Any:  # noqa: ANN401 - what rank 0 says
    """Return the answer of the first rank once all have answered; raise what went wrong first."""
    results: dict[Connection, Any] = {}
    while len(results) < len(ranks):
        (answers, *_) = wait(set(ranks) - set(results))
        assert isinstance(answers, Connection)
        try:
            answer = answers.recv()
        except EOFError:
            raise _ended(ranks[answers]) from None
        if answer.error is not None:
            raise _cause(answer, ranks)
        results[answers] = answer.result
    return results[next(iter(ranks))]


def _cause(failed: _Answer, ranks: dict[Connection, BaseProcess]) -> Exception:
    """Return why a rank raised an error: it may be that another had gone or failed before."""
    if isinstance(failed.error, InputError):
        return failed.error
    end, found = time.monotonic() + SETTLE_S, [failed]
    for answers, process in ranks.items():
        process.join(max(0.0, end - time.monotonic()))
        try:
            if answers.poll():
                found.append(answers.recv())
        except EOFError:  # it has said all, or has gone without a word
            if process.exitcode:
                return _ended(process)
    first = min((one for one in found if one.error), key=lambda one: one.when)
    assert first.error is not None
    return first.error


def _ended(process: BaseProcess) -> InputError:
    process.join()
    code = process.exitcode or 0
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return InputError(
        f"{process.name} {how}, so all were ended (SIGKILL is often the system's, for want of "
        "memory); run again, it goes on from the last checkpoint"
    )


def _work(
    number: int,
    processes: int,
    meeting: str,
    answer: Connection,
    function: Callable[P, T],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    """Be one rank: call the function, tell its result or its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; who started them ends them
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with _group(number, processes, meeting):
            result = function(*args, **kwargs)  # type: ignore[arg-type]
    except Exception as error:
        answer.send(_Answer(error=_portable(error)))
    else:
        answer.send(_Answer(result if number == 0 else None))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """Return an error that can be pickled; of a bug, where it was raised stands in its notes."""
    told = "".join(traceback.format_exception(error))
    try:
        error = pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(str(error))
    if not isinstance(error, InputError):
        error.add_note(told)
    return error


@contextlib.contextmanager
def _group(number: int, processes: int, meeting: str) -> Iterator[None]:
    """Join the group of all ranks, which talk over this machine's own interface."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(number)
        backend = "cpu:gloo,cuda:nccl"
    local = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    if local:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", local[0])
    distributed.init_process_group(
        backend, init_method=meeting, rank=number, world_size=processes, timeout=FOR_EVER
    )
    yield
    distributed.barrier()  # who leaves first closes sockets that another may still be joining by
    distributed.destroy_process_group()
