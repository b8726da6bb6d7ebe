"""A task's file from the hub, through its real client and a small server on this machine."""

import json
import os
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer

import pytest
from potstill import files

from tests.sources.test_hub import COMMIT, Hub
from tests.tasks.conftest import MBPP, write

READ = """
import sys
from potstill.errors import InputError
from potstill.tasks import TASKS, UnavailableError, Where
try:
    print([p.id for p in TASKS["mbpp"].problems(Where({"mbpp": sys.argv[1]}))])
except InputError as error:
    print(type(error).__name__, error)
"""


class DataSets(Hub):
    """Serves `server.folder` as the data set org/data."""

    def answer(self, body):
        name = self.path.rpartition("/")[2]
        path = self.server.folder / name
        if self.path == f"/datasets/org/data/resolve/{COMMIT}/{name}" and path.is_file():
            self.send(path.read_bytes(), body, ETag=f'"{files.sha256_file(path)}"')
        else:
            self.send(json.dumps({}).encode(), body, status=404)


@pytest.fixture
def read(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), DataSets)
    server.folder = tmp_path
    write(tmp_path / "mbpp.jsonl", MBPP)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def get(source, **changes):
        environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                       "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1",
                       "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1", **changes}  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", READ, source],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    yield get
    server.shutdown()
    thread.join()


def test_a_file_of_a_data_set_is_read(read):
    assert read(f"hub:org/data/mbpp.jsonl@{COMMIT}") == "['mbpp/1', 'mbpp/2', 'mbpp/3']"


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        (f"hub:org/data/other.jsonl@{COMMIT}", {}),
        (f"hub:org/none/mbpp.jsonl@{COMMIT}", {}),
        (f"hub:org/data/mbpp.jsonl@{COMMIT}", {"HF_HUB_OFFLINE": "1"}),
    ],
)
def test_what_cannot_be_fetched_is_not_run(read, source, changes):
    text = read(source, **changes)
    assert text.startswith(f"UnavailableError {source} could not be fetched (")
    assert "\n" not in text
