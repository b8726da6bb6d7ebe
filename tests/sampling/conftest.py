"""A server with a batch API, and this process in an empty folder."""

import pytest
from potstill.sampling import batch

from tests import batch_server


@pytest.fixture
def server(llama_server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(batch, "_LONGEST_PAUSE_S", 0.05)
    httpd, state = batch_server.start(llama_server)
    yield state
    state.held.clear()
    state.stuck = None
    httpd.shutdown()
    httpd.server_close()
