"""Hostile programs among honest ones: none succeeds, none disturbs the others, nothing is left.

Not tested: bugs of the kernel, side channels, machines without the layers.
"""

# Programs are kept on one line.
# ruff: noqa: E501

import os
import random
import secrets
from pathlib import Path

import psutil
import pytest
from potstill.sandbox import Case, Limits, api, run_many

from .attacks import ATTACKS, SECRET

LIMITS = Limits(cpu_s=0.5, wall_s=3, memory_mb=256)


@pytest.fixture
def canary(tmp_path):
    file = tmp_path / "canary"
    file.write_text("PWNED by reading")
    return file


def case_of(attack, canary, secret):
    code = attack.code.replace("CANARY", str(canary))
    if attack.kind == "script":
        return Case(attack.language, code, limits=LIMITS)
    tests = [{"args": [], "expected": secret}]
    if attack.kind == "source":
        tests = f"def check(candidate):\n    assert candidate() == {secret!r}\n"
    return Case(attack.language, code, tests, "answer", limits=LIMITS)


def assert_failed(attack, result):
    assert "PWNED" not in result.stdout, attack.name
    if attack.kind != "script":
        assert not result.ok, attack.name
        assert result.tests_passed == 0, attack.name
    assert result.killed_by != "sandbox", attack.name


def world():
    """What an attack could leave behind on the host."""
    mounts = Path("/proc/self/mounts").read_text()
    children = {process.pid for process in psutil.Process().children(recursive=True)}
    return mounts, children, {p for p in Path("/tmp").iterdir() if "evil" in p.name}


@pytest.mark.slow
def test_hostile_programs_among_honest_ones(canary):
    assert len(ATTACKS) >= 60
    api._pool.close()
    before = world()
    secret = SECRET.format(secrets.token_hex(8))
    jobs = [(attack, case_of(attack, canary, secret)) for attack in ATTACKS]
    rng = random.Random(0)
    while len(jobs) < 2000:
        jobs.append(honest(rng))
    rng.shuffle(jobs)
    results = run_many([case for _, case in jobs], workers=2)
    for (expectation, case), result in zip(jobs, results, strict=True):
        if isinstance(expectation, bool):
            assert result.ok is expectation, (case.code, result)
        else:
            assert_failed(expectation, result)
    assert canary.read_text() == "PWNED by reading"
    for server in api._pool._idle:
        starter = psutil.Process(server.pid)
        assert len(starter.children()) == 1
        assert len(starter.children(recursive=True)) <= 2, "a server and its judge"
        assert psutil.Process(starter.children()[0].pid).num_fds() < 15
    api._pool.close()
    assert world() == before


def honest(rng):
    """Return whether a program is right, and the program."""
    a, b = rng.randrange(1000), rng.randrange(1000)
    is_right = rng.random() < 0.7
    total = a + b if is_right else a + b + 1
    python = f"def f(x):\n    return [x + {a}, 'ä' * 2]\n"
    calls = [{"args": [b], "expected": [total, "ää"]}]
    match rng.randrange(5):
        case 0:
            code = f"print({a} + {b})\nassert {a} + {b} == {total}"
            return is_right, Case("python", code, limits=LIMITS)
        case 1:
            return is_right, Case("python", python, calls, "f", limits=LIMITS)
        case 2:
            tests = f"def check(candidate):\n    assert candidate({b}) == [{total}, 'ää']\n"
            return is_right, Case("python", python, tests, "f", limits=LIMITS)
        case 3:
            code = f"const f = x => [x + {a}, 'ä'.repeat(2)]"
            return is_right, Case("javascript", code, calls, "f", limits=LIMITS)
    code = f"console.log({a}); if ({a} + {b} !== {total}) throw new Error('no')"
    return is_right, Case("javascript", code, limits=LIMITS)


def test_a_few_attacks_of_each_kind(canary):
    quick = [a for a in ATTACKS if "infinite" not in a.name and "endless" not in a.name][::9]
    secret = SECRET.format(secrets.token_hex(8))
    cases = [case_of(attack, canary, secret) for attack in quick]
    for attack, result in zip(quick, run_many(cases), strict=True):
        assert_failed(attack, result)
    assert canary.read_text() == "PWNED by reading"


def test_the_secret_would_pass(canary):
    """The graded attacks fail because they do not know the answer, not because nothing passes."""
    for kind in ("calls", "source"):
        attack = next(a for a in ATTACKS if a.kind == kind)
        case = case_of(attack, canary, "known")
        result = run_many([Case("python", "def answer(): return 'known'", case.tests, "answer")])[0]
        assert result.ok


def test_program_sees_no_descriptor_but_its_own():
    code = "import os\nfor fd in range(100):\n    try:\n        os.fstat(fd); print(fd)\n    except OSError: pass"
    result = run_many([Case("python", code)])[0]
    assert result.stdout.split() == ["0", "1", "2", "3"]


def test_environment_of_the_caller_is_hidden(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hidden")
    api._pool.close()
    result = run_many([Case("python", "import os\nprint(dict(os.environ))")])[0]
    assert result.ok
    assert "MY_TOKEN" in os.environ
    assert "MY_TOKEN" not in result.stdout
