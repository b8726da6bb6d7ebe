"""Kept answers of llama.cpp are those that a fresh checkout would get."""

import shutil
from importlib import metadata
from pathlib import Path

import pytest
from potstill import runtime
from potstill.sampling.llama_cpp import LlamaCpp

HOW = {"max_tokens": 4, "temperature": 0.0, "seed": 0, "threads": 1}


def test_a_change_of_the_code_that_reads_asks_anew(tiny_llama, tmp_path, monkeypatch):
    before = LlamaCpp(tiny_llama, **HOW).identity
    copy = shutil.copytree(Path(runtime.__file__).parent, tmp_path / "runtime")
    monkeypatch.setattr(runtime, "__file__", str(copy / "__init__.py"))
    assert LlamaCpp(tiny_llama, **HOW).identity == before
    (copy / "__pycache__").mkdir(exist_ok=True)
    (copy / "__pycache__/sampler.cpython-311.pyc").write_bytes(b"0")
    assert LlamaCpp(tiny_llama, **HOW).identity == before
    with (copy / "sampler.py").open("a") as file:
        file.write("# another rule\n")
    assert LlamaCpp(tiny_llama, **HOW).identity != before


@pytest.mark.parametrize("change", [{"max_tokens": 5}, {"temperature": 0.5}, {"seed": 1}])
def test_settings_that_change_an_answer_ask_anew_and_threads_do_not(tiny_llama, change):
    before = LlamaCpp(tiny_llama, **HOW).identity
    assert LlamaCpp(tiny_llama, **HOW | {"threads": 2}).identity == before
    assert LlamaCpp(tiny_llama, **HOW | change).identity != before


def test_another_llama_cpp_asks_anew(tiny_llama, monkeypatch):
    before = LlamaCpp(tiny_llama, **HOW).identity
    monkeypatch.setattr(metadata, "version", lambda name: f"0 of {name}")
    assert LlamaCpp(tiny_llama, **HOW).identity != before
