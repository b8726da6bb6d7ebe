"""What a caller gets from the sandbox: outputs, verdicts, limits. Not tested: attacks, speed."""

# Programs are kept on one line.
# ruff: noqa: E501

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import _quickjs
import psutil
import pytest
from potstill.errors import InputError
from potstill.sandbox import Case, Limits, api, run, run_many

ADD = "def add(a, b):\n    return a + b\n"
ADD_TESTS = [{"args": [1, 2], "expected": 3}, {"args": ["a", "b"], "expected": "ab"}]
CHECK = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate('a', 'b') == 'ab'\n"
SHORT = Limits(cpu_s=0.3, wall_s=1)


def calls(code, name, *tests, language="python"):
    rows = [{"args": list(args), "expected": expected} for args, expected in tests]
    return run(language, code, tests=rows, entry_point=name)


def test_every_layer_is_in_force():
    result = run("python", "")
    assert set(result.layers) == {
        *("user", "mount", "net", "ipc", "pid", "tmpfs"),
        *("no_new_privs", "landlock", "seccomp", "rlimits"),
    }


def test_script_reads_stdin_and_prints():
    result = run(
        "python", "import sys\nprint(input().upper())\nprint('no', file=sys.stderr)", stdin="ä\n"
    )
    assert (result.ok, result.stdout, result.stderr, result.exit_code) == (True, "Ä\n", "no\n", 0)
    assert result.cpu_ms > 0
    assert result.peak_rss_mb > 1


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("import sys; sys.exit(3)", 3), ("raise SystemExit('bye')", 1), ("1/0", 1), ("x = (", 1), ("import os; os._exit(7)", 7), ("a = '\\0'; exec(a)", 1), ("\0", 1), ("'\ud800'; print(1)", 1)],
)  # fmt: skip
def test_exit_code_is_the_programs(code, exit_code):
    result = run("python", code)
    assert result.exit_code == exit_code
    assert not result.ok
    assert not result.queue_for_cloud


def test_traceback_begins_in_the_program():
    result = run("python", "def f():\n    return 1 / 0\nf()")
    assert result.stderr.startswith('Traceback (most recent call last):\n  File "<string>", line 3')
    assert result.stderr.rstrip().endswith("ZeroDivisionError: division by zero")


def test_output_of_exit_handlers_and_threads_is_kept():
    code = "import atexit, threading\natexit.register(print, 'last')\nthreading.Thread(target=print, args=['t']).start()"
    assert run("python", code).stdout == "t\nlast\n"


def test_tests_are_counted_and_all_must_pass():
    assert run("python", ADD, tests=ADD_TESTS, entry_point="add").ok
    wrong = [*ADD_TESTS, {"args": [1, 1], "expected": 3}, {"args": [0, 0], "expected": 0}]
    result = run("python", ADD, tests=wrong, entry_point="add")
    assert (result.ok, result.exit_code) == (False, 1)
    assert (result.tests_passed, result.tests_total) == (3, 4)


def test_raising_call_fails_its_test_alone():
    result = calls("def f(x):\n    return 1 / x", "f", ([1], 1), ([0], 0), ([2], 0.5))
    assert result.tests_passed == 2
    assert "ZeroDivisionError" in result.stderr


def test_main_block_does_not_run_under_tests():
    code = ADD + "if __name__ == '__main__':\n    raise SystemExit(1)\n"
    assert run("python", code, tests=ADD_TESTS, entry_point="add").ok


def test_many_large_calls_do_not_block():
    rows = [([list(range(5000))], list(range(5000)))] * 60
    assert calls("def same(x):\n    return x", "same", *rows).tests_passed == 60


def test_source_tests_see_types_and_exceptions():
    code = "import math\ndef f(x):\n    if x < 0:\n        raise ValueError('negative')\n    return (x, {x})\ndef helper(x):\n    return x + 1\n"
    tests = (
        "def check(candidate):\n    assert candidate(1) == (1, {1})\n    assert candidate(1) != [1, {1}]\n"
        "    for i in range(3):\n        assert candidate(i)[0] == i\n"
        "    try:\n        candidate(-1)\n        assert False\n    except ValueError as e:\n        assert str(e) == 'negative'\n"
        "    assert helper(1) == 2\n    assert math.floor(1.5) == 1\n"
    )
    result = run("python", code, tests=tests, entry_point="f")
    assert result.ok, result.stderr
    failing = run("python", code, tests=tests + "    assert candidate(2) == 2\n", entry_point="f")
    assert (failing.ok, failing.exit_code, failing.tests_passed) == (False, 1, 0)
    assert "AssertionError" in failing.stderr


def test_source_tests_that_never_end_do_not_poison_the_next():
    stuck = run(
        "python", ADD, tests="def check(candidate):\n    raise SystemExit(0)", entry_point="add"
    )
    assert not stuck.ok
    assert run("python", ADD, tests=CHECK, entry_point="add").ok


@pytest.mark.parametrize(
    "tests", ["def check(", "x = 1", "def check(candidate):\n    candidate(object())"]
)
def test_broken_test_source_passes_nothing(tests):
    assert not run("python", ADD, tests=tests, entry_point="add").ok


def test_time_limits_end_a_program_and_queue_it():
    busy = run("python", "while True: pass", limits=SHORT)
    assert (busy.exit_code, busy.killed_by, busy.queue_reason) == (124, "cpu", "timeout")
    assert busy.cpu_ms == pytest.approx(300, rel=0.5)
    lazy = run("python", "print('begun', flush=True)\nimport time; time.sleep(60)", limits=SHORT)
    assert (lazy.exit_code, lazy.killed_by, lazy.queue_for_cloud) == (124, "wall", True)
    assert lazy.stdout == "begun\n"
    assert "Execution timed out" in lazy.stderr


def test_limits_of_memory_output_and_files():
    big = run("python", "x = bytearray(10 ** 9)")
    assert (big.ok, big.killed_by) == (False, "memory")
    loud = run("python", "while True: print('x' * 1000)", limits=Limits(output_bytes=5000))
    assert (loud.ok, loud.killed_by, len(loud.stdout)) == (False, "output", 5000)
    disk = run("python", "f = open('/tmp/a', 'wb')\nwhile True: f.write(bytes(10 ** 6))")
    assert not disk.ok
    assert "File too large" in disk.stderr or "No space left" in disk.stderr


def test_private_folder_is_writable_and_new_for_each_case():
    code = "import os\nassert os.listdir('/tmp') == []\nopen('/tmp/x', 'w').write('hi')\nprint(open('x').read())"
    assert [run("python", code).stdout for _ in range(2)] == ["hi\n", "hi\n"]


def test_run_many_keeps_the_order_and_retries_timeouts_alone(monkeypatch):
    attempts = []
    execute = api._execute
    monkeypatch.setattr(
        api, "_execute", lambda case, mode: attempts.append(case.code) or execute(case, mode)
    )
    codes = [f"print({i})" for i in range(20)]
    codes[7] = "while True: pass"
    results = run_many([Case("python", code, limits=SHORT) for code in codes], workers=3)
    assert [r.stdout.strip() for r in results] == [str(i) if i != 7 else "" for i in range(20)]
    assert results[7].killed_by == "cpu"
    assert attempts.count(codes[7]) == 2
    assert len(attempts) == 21


def test_set_order_is_the_same_in_every_server():
    code = "print({str(i) for i in range(50)})"
    outputs = {result.stdout for result in run_many([Case("python", code)] * 6, workers=3)}
    assert len(outputs) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"language": "ruby"},
        {"tests": []},
        {"tests": ADD_TESTS},
        {"tests": ADD_TESTS, "entry_point": "os.system"},
        {"tests": [{"args": 1, "expected": 1}], "entry_point": "f"},
        {"tests": [{"args": [1]}], "entry_point": "f"},
    ],
)
def test_senseless_case_is_an_input_error(arguments):
    with pytest.raises(InputError):
        Case(**{"language": "python", "code": "", **arguments})


def test_senseless_limits_are_an_input_error():
    with pytest.raises(InputError):
        Limits(cpu_s=0)
    with pytest.raises(InputError):
        Limits(memory_mb=8)


def test_server_that_was_killed_is_replaced():
    run("python", "")
    for server in api._pool._idle:
        os.kill(server.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert run("python", "print(1)").stdout == "1\n"


def test_killed_parent_leaves_nothing_behind():
    program = "import time; open('/tmp/x', 'w'); time.sleep(60)"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from potstill.sandbox import run\nrun('python', {json.dumps(program)})",
        ]
    )
    own = psutil.Process(parent.pid)
    deadline = time.monotonic() + 20
    while len(own.children(recursive=True)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    family = own.children(recursive=True)
    assert len(family) == 3, "a starter, a server and a case"
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(family, timeout=10)[1] == []


def test_forked_process_starts_its_own_servers():
    run("python", "")
    child = os.fork()
    if child == 0:
        os._exit(0 if run("python", "print(1)").stdout == "1\n" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert run("python", "print(2)").stdout == "2\n"


def test_policy_refuses_what_is_outside_the_subset(monkeypatch):
    reason = SimpleNamespace(kind="builtin", detail="open")

    def check(language, code, policy):
        assert (language, policy) == ("python", "edgecoder")
        return SimpleNamespace(supported="open" not in code, reasons=[reason])

    monkeypatch.setitem(sys.modules, "potstill.subset", SimpleNamespace(check=check))
    refused = run("python", "open('x'); print(1)", policy="edgecoder")
    assert (refused.ok, refused.exit_code, refused.queue_reason) == (False, 1, "outside_subset")
    assert (refused.stdout, refused.stderr) == ("", "builtin: open")
    assert run("python", "print(1)", policy="edgecoder").ok


@pytest.mark.skipif(os.getuid() != 0, reason="the other tests run as an ordinary user already")
def test_ordinary_user_has_every_layer():
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    roots = [Path(api.__file__).parents[2], Path(_quickjs.__file__).parent]
    code = (
        f"import sys; sys.path[:0] = {[str(root) for root in roots]}\n"
        "from potstill.sandbox import run\n"
        "print(len(run('python', 'print(1)').layers), run('javascript', 'console.log(2)').stdout)"
    )
    if python is None:
        pytest.skip("no Python outside root's home")
    done = subprocess.run(
        [python, "-c", code],
        check=False,
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
    )
    if "No module named 'potstill'" in done.stderr:
        pytest.skip("an ordinary user cannot read this checkout")
    assert done.stdout == "10 2\n", done.stderr
