"""What test_folders runs under a filter: ends of all kinds, and what they leave; prints JSON.

Started by refuse.py in the tests' own interpreter.
"""

# Programs are kept on one line.
# ruff: noqa: E501, T201

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
from potstill.sandbox import Limits, api, run
from potstill.sandbox.inside.folders import BASES, PREFIX

WRITE = "import os, time\nopen('f', 'w').close(); os.symlink('/etc', 'l'); os.mkdir('a'); os.chdir('a'); os.umask(0o777)\nfor i in range(50): os.mkdir(str(i))\ntime.sleep(600)"
LIMITS = Limits(wall_s=1.5)


def servers(client):
    """Return the folders that a client's servers have now."""
    return {path for base in BASES for path in Path(base).glob(f"{PREFIX}{client}-*")}


def until(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def family(process):
    return psutil.Process(process).children(recursive=True)


def is_written(folders):
    return any(path.exists() for folder in folders for path in folder.glob("*/a/49"))


def kill(processes):
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=20)


def while_running(end):
    """Start a program here, call `end` once it has written; return what is left."""
    thread = threading.Thread(target=run, args=("python", WRITE), kwargs={"limits": LIMITS})
    thread.start()
    assert until(lambda: is_written(servers(os.getpid())))
    end()
    thread.join()
    api._pool.close()
    return sorted(map(str, servers(os.getpid())))


def client(*, with_family):
    """Kill a client whose program has written; return what is left, at once and for the next."""
    code = f"from potstill.sandbox import run\nrun('python', {WRITE!r})"
    process = psutil.Process(subprocess.Popen([sys.executable, "-c", code]).pid)
    assert until(lambda: is_written(servers(process.pid)))
    processes = [process, *(family(process.pid) if with_family else [])]
    for each in processes:
        each.send_signal(signal.SIGSTOP)  # none sees another's end
    kill(processes)
    if not with_family:
        until(lambda: not servers(process.pid))
    left = servers(process.pid)
    run("python", "")
    found = [len(left), len(servers(process.pid))]
    api._pool.close()
    return found


def main():
    # each program's starter, server and process; deepest last
    starters = lambda: [p for p in family(psutil.Process().pid) if p.ppid() == psutil.Process().pid]  # noqa: E731
    found = {
        "limit": while_running(lambda: None),
        "program": while_running(lambda: kill([p for s in starters() for p in family(s.pid)[1:]])),
        "server": while_running(lambda: kill([family(s.pid)[0] for s in starters()])),
        "starter": while_running(lambda: kill(starters())),
        "all": while_running(lambda: kill(family(psutil.Process().pid))),
        "client": client(with_family=False),
        "client and all": client(with_family=True),
    }
    found["user"] = run("python", "import os\nprint(os.getuid())").stdout
    code = "import threading, time\nthreading.stack_size(65536)\nn = 0\ntry:\n    while n < 300:\n        threading.Thread(target=time.sleep, args=(1,), daemon=True).start(); n += 1\nexcept RuntimeError: pass\nprint(n)"
    found["threads"] = int(run("python", code).stdout)
    api._pool.close()
    print(json.dumps(found))


main()
