"""Ranks: they begin and end together, whatever happens to one of them.

Not tested here: GPUs (there is none), and what ranks train (tests/distill/test_sharding.py).
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback

import pytest
import torch
from potstill.distill import ranks
from potstill.errors import InputError

from tests.distill import on_ranks
from tests.distill.runs import ROWS

START_S = 240  # two processes that import torch on a busy machine
SOON_S = 15  # a busy machine again; a rank that waits would wait for ever


def pids(note):
    return [int(path.read_text()) for path in sorted(note.parent.glob("note.*"))]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_process_is_this_one():
    assert ranks.run(1, os.getpid) == os.getpid()
    assert ranks.agreed(lambda: 3) == 3
    assert (ranks.rank(), ranks.count()) == (0, 1)


@pytest.mark.slow
def test_ranks_agree_and_deal_rows_by_tokens():
    made, total, count, lengths, passes, threads = ranks.run(2, on_ranks.talk, value="x")
    assert made == ("x", 2)  # rank 0 has the threads of both meanwhile, and then its own again
    assert threads == 1
    assert total == {"a": 3.0, "b": 4.0}
    assert count == 2
    assert sorted(lengths[0] + lengths[1]) == sorted(len(row.ids) for row in ROWS)
    assert abs(sum(lengths[0]) - sum(lengths[1])) <= min(len(row.ids) for row in ROWS)
    assert passes == [2, 2]  # of three rows one rank has two, the other a filler


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("refuse", r"^got 3, allowed 1: change it$"),
        ("kill", r"^rank 1 was killed by SIGKILL, .*run again, it goes on from the last"),
        ("exit", r"^rank 1 ended with code 7, "),
    ],
)
def test_one_rank_that_ends_ends_all_with_one_line(tmp_path, how, named):
    note = tmp_path / "note"
    with pytest.raises(InputError, match=named) as caught:
        ranks.run(2, on_ranks.fail, how, note)
    assert "\n" not in str(caught.value)
    assert len(pids(note)) == 2
    assert time.time() - max(path.stat().st_mtime for path in tmp_path.glob("note.*")) < SOON_S
    assert not any(alive(pid) for pid in pids(note))


@pytest.mark.slow
def test_a_bug_of_a_rank_keeps_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError) as caught:
        ranks.run(2, on_ranks.fail, "bug", tmp_path / "note")
    assert "on_ranks.py" in "".join(traceback.format_exception(caught.value))


def test_a_rank_of_torchrun_starts_nothing(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    for processes in (1, 2):
        with pytest.raises(InputError, match=r"training\.processes.*without torchrun"):
            ranks.run(processes, os.getpid)


def test_more_ranks_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=r"processes is 2.*GPU of its own: this machine has 1"):
        ranks.run(2, os.getpid)


STAGE = """
import os, signal, time
from pathlib import Path
from potstill import stage
from potstill.params import Section


class Params(Section):
    wait: bool


def work(scratch, wait):
    from potstill.distill import ranks
    from torch import distributed
    (scratch / f"pid.{ranks.rank()}").write_text(str(os.getpid()))
    if wait and ranks.rank() == 0:
        distributed.barrier()
    while wait:
        time.sleep(0.05)
    return ranks.count()


def main(params: Params, *, out: Path, scratch: Path) -> dict:
    from potstill.distill import ranks
    out.write_text(str(ranks.run(2, work, scratch, params.wait)))
    return {}


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    stage.run(main, Params)
"""


def start(project, wait):
    (project / "toy.py").write_text(STAGE)
    (project / "params.yaml").write_text(f"toy: {{wait: {str(wait).lower()}}}\n")
    command = [sys.executable, "toy.py", "--params", "toy", "--out", "out", "--metrics", "toy.json"]
    return subprocess.Popen(
        command, cwd=project, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(condition):
    end = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("ended", ["rank", "stage", "ctrl-c"])
def test_whoever_is_ended_all_end_soon_and_the_lock_is_free(tmp_path, ended):
    """Rank 0 waits for the other, as in a step; the rerun waits for nobody."""
    first = start(tmp_path, wait=True)
    try:
        wait_for(lambda: len(list(tmp_path.glob(".potstill/scratch/toy/*/pid.*"))) == 2)
        time.sleep(0.2)
        ranked = [int(path.read_text()) for path in sorted(tmp_path.rglob("pid.*"))]
        if ended == "rank":
            os.kill(ranked[1], signal.SIGKILL)
        elif ended == "stage":
            first.kill()
        else:
            os.killpg(first.pid, signal.SIGINT)
        begun = time.monotonic()
        first.wait(START_S)
        wait_for(lambda: not any(alive(pid) for pid in ranked))
        assert time.monotonic() - begun < SOON_S
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
    said = first.stderr.read()
    if ended == "rank":
        assert first.returncode == 1
        assert said.splitlines()[-1].startswith("toy: rank 1 was killed by SIGKILL")
        assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
    second = start(tmp_path, wait=False)
    assert second.wait(START_S) == 0
    assert "waiting" not in second.stderr.read()
    assert (tmp_path / "out").read_text() == "2"
