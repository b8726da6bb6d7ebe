"""The llama.cpp runtime on tiny random models: one way of decoding checked against another.

Logits against transformers are in tests/export/test_gguf.py.
"""

import json
import subprocess
import sys
from contextlib import closing

import pytest
from potstill import runtime
from potstill.errors import InputError
from potstill.runtime import llama_cpp
from potstill.runtime.llama_decoder import BATCH

PROMPTS = [[1, 87, 305, 84], [1], [17, 5] * 20, [400, 3, 77], [1, 87, 305, 85, 9], [1, 87], [8, 9]]


@pytest.fixture(scope="module")
def loaded(tiny_gguf):
    with closing(runtime.load(tiny_gguf("llama", "f16"))) as model:
        yield model


@pytest.fixture(scope="module")
def endless(tiny_gguf):
    """Return a model that no id stops."""
    path = tiny_gguf("llama", "f16") / "model.gguf"
    model = llama_cpp.LlamaCpp(path, stop_ids=frozenset(), threads=2, context=512)
    with closing(model):
        yield model


def greedy(model, ids, num):
    """Decode by teacher forcing alone: the definition."""
    answer = []
    for _ in range(num):
        token = int(model.logits([*ids, *answer])[-1].argmax())
        if token in model.stop_ids:
            break
        answer.append(token)
    return answer


def test_streaming_is_the_argmax_of_the_logits(endless):
    for ids in PROMPTS[:3]:
        assert list(endless.stream(ids, max_tokens=12)) == greedy(endless, ids, 12)


@pytest.mark.parametrize("parallel", [1, 2, 3, 16])
def test_batched_answers_are_the_streamed_ones(endless, parallel):
    expected = [list(endless.stream(ids, max_tokens=15)) for ids in PROMPTS]
    assert endless.generate(PROMPTS, max_tokens=15, parallel=parallel) == expected
    assert len({len(answer) for answer in expected}) == 1


def test_slots_are_taken_over_when_answers_end_at_different_lengths(endless):
    free = [list(endless.stream(ids, max_tokens=20)) for ids in PROMPTS]
    endless.stop_ids = frozenset(answer[3 * n % 7 + 1] for n, answer in enumerate(free))
    try:
        expected = [list(endless.stream(ids, max_tokens=20)) for ids in PROMPTS]
        assert len({len(answer) for answer in expected}) > 2
        assert endless.generate(PROMPTS, max_tokens=20, parallel=3) == expected
        assert not any(set(answer) & endless.stop_ids for answer in expected)
    finally:
        endless.stop_ids = frozenset()


def test_stop_ids_come_from_the_artefact(loaded):
    assert loaded.stop_ids == {2}
    assert loaded.vocab_size == 509


def test_generation_ends_where_the_context_is_full(tiny_gguf):
    path = tiny_gguf("llama", "f16") / "model.gguf"
    with closing(llama_cpp.LlamaCpp(path, stop_ids=frozenset(), threads=1, context=9)) as model:
        assert len(list(model.stream([1, 2, 3], max_tokens=50))) == 6
        answers = model.generate([[1, 2, 3], [5] * 9], max_tokens=50)
        assert [len(answer) for answer in answers] == [6, 0]


def test_the_context_is_no_longer_than_the_model_was_trained_on(tiny_gguf):
    with closing(runtime.load(tiny_gguf("llama", "f16"), context=9_999)) as model:
        assert model.logits([7] * 512).shape == (512, 509)
        with pytest.raises(InputError, match="513 ids were given; 1 to 512 fit"):
            model.logits([7] * 513)


def test_long_prompts_are_read_in_parts(tiny_gguf, monkeypatch):
    ids = [int(n * 7919 % 509) for n in range(200)]
    with closing(runtime.load(tiny_gguf("qwen2", "f16"))) as model:
        whole = model.logits(ids)
        assert len(ids) < BATCH
        monkeypatch.setattr(llama_cpp, "BATCH", 64)
        assert abs(model.logits(ids) - whole).max() < 0.02


def test_nothing_to_do(loaded):
    assert loaded.generate([], max_tokens=5) == []
    assert loaded.generate([[1]], max_tokens=0) == [[]]
    assert list(loaded.stream([1], max_tokens=0)) == []


@pytest.mark.parametrize(
    ("ids", "reason"),
    [([], "0 ids were given"), ([509], "vocabulary has 0 to 508"), ([3, -1], "ids from -1 to 3")],
)
def test_ids_that_cannot_be_are_refused(loaded, ids, reason):
    for use in (loaded.logits, lambda i: next(loaded.stream(i, max_tokens=1)),
                lambda i: loaded.generate([[1], i], max_tokens=1)):  # fmt: skip
        with pytest.raises(InputError, match=reason):
            use(ids)


def test_a_truncated_model_is_refused_without_llama_cpp(tiny_gguf, tmp_path, capfd):
    data = (tiny_gguf("llama", "q4_0") / "model.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(data[:-4_000])
    with pytest.raises(InputError, match=r"cut\.gguf is not a whole GGUF file"):
        llama_cpp.LlamaCpp(cut, stop_ids=frozenset(), threads=1, context=64)
    assert capfd.readouterr() == ("", "")


def test_what_llama_cpp_refuses_is_one_line_and_nothing_else_is_printed(tiny_gguf, tmp_path, capfd):
    data = (tiny_gguf("llama", "q4_0") / "model.gguf").read_bytes()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(data.replace(b"blk.1.attn_k.weight", b"blk.9.attn_k.weight"))
    with pytest.raises(InputError, match=r"llama\.cpp refuses .*bad\.gguf.*blk\.1\.attn_k"):
        llama_cpp.LlamaCpp(bad, stop_ids=frozenset(), threads=1, context=64)
    assert capfd.readouterr() == ("", "")


FUZZ = """
import json, random, sys
from pathlib import Path
from potstill.errors import InputError
from potstill.runtime.llama_cpp import LlamaCpp
data, bad = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
counts = {"refused": 0, "ran": 0}
draw = random.Random(1)
for number in range(int(sys.argv[3])):
    damaged = bytearray(data)
    damaged[draw.randrange(len(data) // 4)] = draw.randrange(256)
    bad.write_bytes(damaged)
    try:
        model = LlamaCpp(bad, stop_ids=frozenset(), threads=1, context=64)
        model.tokenize("def f(x): return 12")
        model.generate([[1, 2, 3]], max_tokens=2)
        model.close()
        counts["ran"] += 1
    except InputError:
        counts["refused"] += 1
print(json.dumps(counts))
"""


@pytest.mark.slow
def test_no_damaged_header_ends_the_process(tiny_gguf, tmp_path):
    model = tiny_gguf("llama", "q8_0") / "model.gguf"
    arguments = [str(model), str(tmp_path / "bad.gguf"), "300"]
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    counts = json.loads(done.stdout)
    assert counts["refused"] > 20
    assert counts["ran"] > 20
