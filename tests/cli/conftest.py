"""What the tests of `potstill score` share: a tiny artefact, and the command that scores it."""

import pytest
from potstill.evaluate import rates


@pytest.fixture
def artefact(tiny_gguf):
    return tiny_gguf("llama", "f16")


@pytest.fixture
def inside(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def uncut(monkeypatch):
    """A tiny random model never ends by itself; its rates count although all answers are cut."""
    monkeypatch.setattr(rates, "MAX_CUT", 1.0)


def command(artefact, names, *flags):
    return ["score", str(artefact), "--tasks", names, "--max-tokens", "6", *flags]
