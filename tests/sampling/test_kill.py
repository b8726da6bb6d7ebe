"""kill -9 of a stage that waits for a batch: the next run finds the batch, none is sent twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from potstill import files

from tests.stages.test_sample_teacher import SETTINGS

pytestmark = pytest.mark.slow
SENT = Path(".potstill/answers/batches")
CODE = """
import json, sys
from pathlib import Path
from potstill.sampling import batch
from stages.sample_teacher import Params, main
batch._FIRST_PAUSE_S = batch._LONGEST_PAUSE_S = 0.02
main(Params(**json.loads(sys.argv[1])), teacher=Path(), models=Path(), prompts=Path("prompts"),
     functions=Path("prompts"), rounds=Path(), out=Path("out.jsonl"))
"""


@pytest.mark.parametrize("last", [("GET", "batch"), ("POST", "batches"), ("GET", "content")])
def test_after_a_kill_the_batch_is_found_again(server, last):
    """Killed while it waits; before it has the batch's id; before it has the answers."""
    rows = [{"id": f"t{n}", "task": f"Do {n}.", "language": "python", "level": 1} for n in range(5)]
    Path("prompts").mkdir()
    files.write_jsonl(Path("prompts/train.jsonl"), rows)
    files.write_jsonl(Path("prompts/functions.jsonl"), [])
    settings = SETTINGS | {
        "teachers": [{"endpoint": {"url": server.url, "model": "tiny", "batch": True}}]
    }
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    command = [sys.executable, "-c", CODE, json.dumps(settings)]
    environment = {**os.environ, "PYTHONPATH": path}
    if last == ("GET", "batch"):
        server.held.set()
    else:
        server.stuck = last
    child = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 60
    while not server.count_of(*last) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert len(list(SENT.iterdir())) == 1
    server.held.clear()
    server.stuck = None
    subprocess.run(command, env=environment, check=True, timeout=60)
    answers = list(files.read_jsonl(Path("out.jsonl"), ["id", "text", "teacher"]))
    assert len(answers) == 5
    assert server.count_of("POST", "files") == 1
    assert len(server.batches) == 1
    assert len(server.asked) == 5
