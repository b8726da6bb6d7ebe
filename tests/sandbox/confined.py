"""What test_refused runs under a filter: attacks, honest programs, limits; prints JSON.

Started by refuse.py in a fresh interpreter, which may be an ordinary user's: only potstill.sandbox
and the attacks are there.
"""

# Programs are kept on one line.
# ruff: noqa: E501, T201

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from attacks import ATTACKS, SECRET
from filing import CASES, verdict
from potstill.errors import InputError
from potstill.sandbox import Case, Limits, api, check, layers, run, run_many
from potstill.sandbox.inside.folders import BASES, PREFIX

LIMITS = Limits(cpu_s=0.4, wall_s=1.5, memory_mb=256)
HONEST = [
    Case("python", "import statistics, json\nprint(statistics.mean([1, 2, 3]))", limits=LIMITS),
    Case("javascript", "console.log([1, 2].map(x => x * 2))", limits=LIMITS),
    Case("python", "def f(x):\n    return x + 1", [{"args": [1], "expected": 2}], "f", limits=LIMITS),
    Case("python", "def f(x):\n    return 2 * x", "def check(f):\n    assert f(2) == 4", "f", limits=LIMITS),
    Case("python", "import threading\nt = threading.Thread(target=print, args=('x',))\nt.start(); t.join()", limits=LIMITS),
]  # fmt: skip


def refusal(mode):
    try:
        check(mode)
    except InputError as error:
        return str(error)
    return None


def attack(canary):
    secret = SECRET.format(os.urandom(8).hex())
    cases = []
    for item in ATTACKS:
        code = item.code.replace("CANARY", str(canary))
        tests = None if item.kind == "script" else [{"args": [], "expected": secret}]
        if item.kind == "source":
            tests = f"def check(candidate):\n    assert candidate() == {secret!r}\n"
        cases.append(Case(item.language, code, tests, tests and "answer", limits=LIMITS))
    won = []
    for item, result in zip(ATTACKS, run_many(cases), strict=True):
        if "PWNED" in result.stdout or (item.kind != "script" and result.ok):
            won.append(item.name)
    return won


def neighbour():
    """Run a program that is told of another's folder; return both outputs and what is left."""
    name = f"secret-{os.urandom(8).hex()}"
    first = f"import os, time\nopen('{name}', 'w').write('kept'); os.mkdir('d')\nfor _ in range(300):\n    time.sleep(0.02)\n    if os.path.exists('stop'): break\n    n = sorted(os.listdir('.'))\nprint(n == ['d', '{name}'], open('{name}').read())"
    outputs = []
    thread = threading.Thread(target=lambda: outputs.append(run("python", first).stdout))
    thread.start()
    found = []
    while thread.is_alive() and not found:
        found = [path for base in BASES for path in Path(base).glob(f"{PREFIX}*/*/{name}")]
        time.sleep(0.01)
    folder = found[0].parent
    acts = [
        f"print(open({str(found[0])!r}).read())", f"os.listdir({str(folder)!r})",
        f"open({str(found[0])!r}, 'w')", f"open({str(folder / 'stop')!r}, 'w')",
        f"os.unlink({str(found[0])!r})", f"os.rename({str(found[0])!r}, 'mine')",
        f"os.link({str(found[0])!r}, 'mine')", f"os.rmdir({str(folder / 'd')!r})",
        f"os.rename({str(folder / 'd')!r}, 'mine')", f"os.rename('own', {str(folder / 'own')!r})",
        f"os.link('own', {str(folder / 'stop')!r})", f"os.chmod({str(folder)!r}, 0o777)",
        f"os.symlink({str(folder)!r}, 'l')\n    os.listdir('l')", f"os.truncate({str(found[0])!r}, 0)",
        f"os.chdir({str(folder)!r})\n    os.listdir('.')", f"os.utime({str(found[0])!r})",
        f"os.listdir({str(folder.parent)!r})", f"os.rmdir({str(folder)!r})",
    ]  # fmt: skip
    second = "import os\nopen('own', 'w').close()\nhome = os.getcwd()\n" + "".join(
        f"try:\n    {act}\n    print('PWNED {number}')\nexcept OSError: os.chdir(home)\n"
        for number, act in enumerate(acts)
    )
    output = run("python", f"{second}print('tried')").stdout
    thread.join()
    return [*outputs, output, folder.exists()]


def main():
    found = {
        "pid": os.getpid(),
        "uid": os.getuid(),
        "minimum": refusal("minimum"),
        "all": refusal("all"),
    }
    found["layers"], found["missing"] = layers()
    if found["minimum"] is None:
        canary = Path(tempfile.mkdtemp()) / "canary"
        canary.write_text("PWNED by reading")
        found["honest"] = [[r.ok, r.stdout, r.stderr] for r in run_many(HONEST)]
        found["won"] = attack(canary)
        found["canary"] = canary.read_text()
        shutil.rmtree(canary.parent)
        found["slow"] = run("python", "while True: pass", limits=LIMITS).killed_by
        found["large"] = run("python", "x = bytes(1 << 30)", limits=LIMITS).ok
        found["again"] = run("python", "print(7)", limits=LIMITS).stdout
        # a program must reach no process of its user's, though all are in sight
        code = "import threading, time\nn = 0\ntry:\n    while n < 300:\n        threading.Thread(target=time.sleep, args=(1,), daemon=True).start(); n += 1\nexcept RuntimeError: pass\nprint(n)"
        found["threads"] = run("python", code, limits=Limits()).stdout
        code = "import ctypes\nprint(ctypes.CDLL(None, use_errno=True).prctl(1, 0))"
        found["pdeathsig"] = run("python", code, limits=LIMITS).stdout
        code = f"import os\ntry:\n    os.kill({os.getpid()}, 0); print('PWNED')\nexcept OSError as e:\n    print(e)"
        found["kill"] = run("python", code, limits=LIMITS).stdout
        code = "import ctypes\nprint(ctypes.CDLL(None, use_errno=True).prctl(4, 0))"
        found["hide"] = run("python", code, limits=LIMITS).stdout
        code = "import os\ntry:\n    open('/tmp/x', 'w'); print(os.getcwd())\nexcept OSError as e: print(type(e).__name__)"
        found["tmp"] = run("python", code, limits=LIMITS).stdout
        found["filing"] = [verdict(result) for result in run_many(CASES)]
        found["neighbour"] = neighbour() if "tmpfs" in found["missing"] else None
    api._pool.close()
    print(json.dumps(found))


main()
