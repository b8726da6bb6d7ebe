"""The holder of one artefact: late loading, unloading, swapping; memory in a process of its own."""

import json
import shutil
import subprocess
import sys
import threading
import time

import pytest
from potstill.errors import InputError
from potstill.export import build
from potstill.runtime import Request, artifact
from potstill.runtime.host import Host

ASKED = [Request([1, 87, 305], 6)]


@pytest.fixture
def artefact(tiny_gguf):
    return tiny_gguf("llama", "f16")


def asked(host):
    with host.use() as model:
        return model.generate(ASKED)


def wait(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_is_loaded_by_its_first_use_and_again_after_unloading(artefact):
    host = Host(artefact)
    assert not host.loaded
    first = asked(host)
    assert host.loaded
    host.unload()
    host.unload()
    assert not host.loaded
    assert asked(host) == first


def test_it_is_unloaded_when_nobody_asked_for_a_while_and_not_before(artefact):
    host = Host(artefact, idle_s=0.3)
    with host.use() as model:
        time.sleep(0.6)  # in use for longer than that
        assert model.generate(ASKED)
    assert host.loaded
    for _ in range(4):
        time.sleep(0.1)
        asked(host)
    assert host.loaded
    wait(lambda: not host.loaded)
    assert asked(host)


def test_an_unloading_waits_for_the_use_that_is_under_way(artefact):
    host = Host(artefact)
    with host.use() as model:
        other = threading.Thread(target=host.unload)
        other.start()
        time.sleep(0.1)
        assert other.is_alive()
        assert model.generate(ASKED)
    other.join(20)
    assert not host.loaded


def test_another_artefact_takes_over(artefact, tiny_qwen2, tmp_path):
    build.build(tiny_qwen2, tmp_path / "q", format="onnx", quantisation="fp32")
    host = Host(artefact)
    first = asked(host)
    host.swap(tmp_path / "q")
    assert not host.loaded
    with host.use() as model:
        assert model.vocab_size == artifact.read(tmp_path / "q")["vocab_size"]
    host.swap(artefact)
    assert asked(host) == first


def test_a_damaged_artefact_is_refused_and_the_present_one_stays(artefact, tmp_path):
    host = Host(artefact)
    first = asked(host)
    damaged = shutil.copytree(artefact, tmp_path / "damaged")
    path = damaged / "model.gguf"
    path.write_bytes(path.read_bytes()[:-1])
    for wrong, reason in ((damaged, "bytes, expected"), (tmp_path / "none", "is missing")):
        with pytest.raises(InputError, match=reason):
            host.swap(wrong)
    assert host.loaded
    assert asked(host) == first
    with pytest.raises(InputError, match="idle_s is 0"):
        Host(artefact, idle_s=0)


MEMORY = """
import json, sys
from pathlib import Path
from potstill.runtime import Request
from potstill.runtime.host import Host

def rss():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

def ask(host):
    with host.use() as model:
        model.generate([Request([3, 4, 5] * 60, 8)] * 3)
    return rss()

small, large = (Host(Path(path)) for path in sys.argv[1:])
ask(small)  # the runtime's own code stays
small.unload()
rows = []
for _ in range(3):
    before, used = rss(), ask(large)
    large.unload()
    rows.append([before, used, rss()])
print(json.dumps(rows))
"""


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("format_", "quantisation"), [("gguf", "q8_0"), ("onnx", "int8")])
def test_the_memory_is_given_back(smollm2, tiny_llama, tmp_path, format_, quantisation):
    for name, checkpoint in (("small", tiny_llama), ("large", smollm2)):
        build.build(checkpoint, tmp_path / name, format=format_, quantisation=quantisation)
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for before, used, after in json.loads(done.stdout):
        assert used - before > 100_000  # kB: it was in memory
        assert used - after >= 0.95 * (used - before)
