"""Keys and values in blocks: what is refused, what it takes, and that it is the cache asked for.

How much is lost by it on a real model is measured by `python -m benchmarks.kv_cache`.
"""

import shutil
from contextlib import closing

import numpy as np
import pytest
from potstill import files, runtime
from potstill.errors import InputError
from potstill.export import FORMATS, build, split
from potstill.models import checkpoint, gguf_header
from potstill.runtime import Request, artifact, llama_cache, llama_cpp
from potstill.runtime.llama_decoder import Decoder

from tests.runtime.test_llama_cpp import SHARED, numbers, read_all

BLOCKS = [name for name in llama_cache.TYPES if name != llama_cache.DEFAULT]


def open_(folder, cache, **how):
    how = {"stop_ids": frozenset(), "threads": 2, "context": 700} | how
    return llama_cpp.LlamaCpp(folder / "model.gguf", cache=cache, **how)


def header_of(folder):
    return gguf_header.check_model(folder / "model.gguf")


def test_what_exports_may_state_is_what_the_runtime_has():
    assert list(FORMATS["gguf"].CACHES) == BLOCKS
    assert FORMATS["onnx"].CACHES == ()


@pytest.mark.parametrize("family", ["qwen3", "mistral"])
def test_fewer_bits_lose_more_and_no_bits_lose_nothing(tiny_gguf, family):
    ids = numbers(300, 7919)
    scores = {}
    for cache in llama_cache.TYPES:
        with closing(open_(tiny_gguf(family, "f16"), cache)) as model:
            scores[cache] = model.logits(ids)
    spread = scores["f16"].std()
    losses = {c: float(np.sqrt(np.mean((scores[c] - scores["f16"]) ** 2))) for c in BLOCKS}
    assert 0 < losses["q8_0"] < 0.02 * spread
    assert 4 * losses["q8_0"] < losses["q4_0"] < 0.5 * spread


@pytest.mark.parametrize("case", SHARED)
@pytest.mark.parametrize("cache", BLOCKS)
def test_what_prompts_share_is_taken_over_in_blocks_and_changes_no_bit(tiny_gguf, cache, case):
    prompts, computed = SHARED[case]
    with closing(open_(tiny_gguf("qwen3", "q8_0"), cache)) as model:
        want, alone = read_all(model, prompts, shares=False)
        got, shared = read_all(model, prompts, shares=True)
    with closing(open_(tiny_gguf("qwen3", "q8_0"), llama_cache.DEFAULT)) as model:
        plain, _ = read_all(model, prompts, shares=True)
    assert [row.tobytes() for row in got] == [row.tobytes() for row in want]
    assert (alone, shared) == (sum(map(len, prompts)), computed)
    assert not any(np.array_equal(a, b) for a, b in zip(got, plain, strict=True))


@pytest.mark.parametrize("cache", BLOCKS)
def test_batched_answers_are_the_streamed_ones(tiny_gguf, cache):
    prompts = [[*numbers(40, 31), n, n + 1] for n in range(7)]
    with closing(open_(tiny_gguf("mistral", "f16"), cache)) as model:
        got = [a.ids for a in model.generate([Request(ids, 12) for ids in prompts], parallel=3)]
        assert got == [[c.id for c in model.stream(Request(ids, 12))] for ids in prompts]
    assert len(set(map(tuple, got))) > 1


@pytest.mark.parametrize("family", ["qwen3", "mistral", "llama"])
def test_bytes_are_those_that_llama_cpp_keeps(tiny_gguf, family):
    """Its own count: of a saved sequence, what it grows by with each id."""
    folder = tiny_gguf(family, "f16")
    for cache in llama_cache.TYPES if family != "llama" else [llama_cache.DEFAULT]:
        sizes = []
        with closing(open_(folder, cache)) as model:
            for count in (64, 192):
                with closing(Decoder(model._model, threads=1, length=256, cache=cache)) as decoder:
                    decoder.read(0, numbers(count, 3))
                    state = llama_cpp.llama_cpp.llama_state_seq_get_size
                    sizes.append(state(decoder._context, 0))
        positions = 8 + 4  # of each id, besides: its place, and of how many sequences it is
        grown = (sizes[1] - sizes[0]) / 128
        own = llama_cache.bytes_per_id(cache, header_of(folder))
        assert own <= grown <= own + positions


def test_smaller_caches_let_more_answers_share_a_batch(tiny_gguf, monkeypatch):
    slots = []
    make = Decoder.__init__
    monkeypatch.setattr(
        Decoder,
        "__init__",
        lambda self, *args, **how: (slots.append(how["num_slots"]), make(self, *args, **how))[1],
    )
    requests = [Request([n, n + 1], 8) for n in range(12)]
    folder = tiny_gguf("qwen3", "f16")
    length = 10
    room = 3 * length * llama_cache.bytes_per_id(llama_cache.DEFAULT, header_of(folder))
    monkeypatch.setattr(llama_cpp, "CACHE_BYTES", room)
    for cache in llama_cache.TYPES:
        with closing(open_(folder, cache)) as model:
            model.generate(requests)
    assert slots == [3, 5, 10]  # 64, 34 and 18 bytes a block


@pytest.mark.parametrize("cache", BLOCKS)
def test_heads_that_are_not_whole_blocks_are_refused_before_llama_cpp(tiny_gguf, cache):
    with pytest.raises(InputError, match="16 numbers a head and values 16, which is not whole"):
        open_(tiny_gguf("llama", "f16"), cache)


@pytest.fixture
def stated(tiny_gguf, tmp_path):
    """Return a function that states a cache in a copy of an artefact."""

    def state(cache):
        folder = shutil.copytree(tiny_gguf("qwen3", "q8_0"), tmp_path / "a", dirs_exist_ok=True)
        made = files.read_json(folder / artifact.NAME) | {"cache": cache}
        files.write_json(folder / artifact.NAME, made)
        return folder

    return state


@pytest.mark.parametrize("cache", ["q8", "", 8, None, ["q8_0"], "iq4_nl", "Q8_0"])
def test_a_cache_that_is_not_known_is_refused(stated, cache):
    with pytest.raises(InputError, match=r"cache is .*; allowed: f16, q4_0, q8_0"):
        runtime.load(stated(cache))


def test_an_export_states_its_cache_and_has_the_same_model(tiny_checkpoint, tiny_gguf, tmp_path):
    folder = tiny_checkpoint("qwen3")
    made = build.build(folder, tmp_path / "a", format="gguf", quantisation="q8_0_cache_q4_0")
    plain = artifact.read(tiny_gguf("qwen3", "q8_0"))
    assert made["files"] == plain["files"]
    differ = {key for key in made.keys() | plain.keys() if made.get(key) != plain.get(key)}
    assert differ == {"quantisation", "cache"}
    ids = numbers(90, 7919)
    with (
        closing(runtime.load(tmp_path / "a")) as model,
        closing(open_(tmp_path / "a", "q4_0")) as want,
    ):
        assert model.logits(ids).tobytes() == want.logits(ids).tobytes()


@pytest.mark.parametrize(
    ("form", "quantisation", "message"),
    [
        ("gguf", "q8_0_cache_q8", "of the cache allowed: q4_0, q8_0; did you mean q8_0"),
        ("gguf", "q8_0_cache_", "of the cache allowed"),
        ("gguf", "q8_cache_q8_0", "did you mean q8_0"),
        ("gguf", "q8_0_cache_q4_0_cache_q4_0", "of the cache allowed"),
        ("gguf", "_cache_q4_0", "quantisation is '_cache_q4_0'"),
        ("onnx", "int8_cache_q8_0", "no cache can be stated for onnx; take int8"),
    ],
)
def test_names_that_lead_nowhere_are_refused(form, quantisation, message):
    with pytest.raises(InputError, match=message):
        split(form, quantisation)


def test_an_onnx_artefact_that_states_one_is_refused(tiny_llama, tmp_path):
    build.build(tiny_llama, tmp_path / "a", format="onnx", quantisation="fp32")
    made = files.read_json(tmp_path / "a" / artifact.NAME) | {"cache": "q8_0"}
    files.write_json(tmp_path / "a" / artifact.NAME, made)
    with pytest.raises(InputError, match="an ONNX graph has its own: state none"):
        runtime.load(tmp_path / "a")


def test_heads_come_from_the_header_where_it_states_them(tiny_checkpoint, tiny_gguf):
    for family in ("llama", "llama3", "mistral", "qwen2", "qwen3"):
        config = checkpoint.read_config(tiny_checkpoint(family))
        heads = config["num_attention_heads"]
        size = config.get("head_dim") or config["hidden_size"] // heads
        per_id = 2 * 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * size
        found = llama_cache.bytes_per_id("f16", header_of(tiny_gguf(family, "f16")))
        assert found == per_id, family
