"""The llama.cpp runtime on tiny random models: one way of decoding checked against another.

Logits against transformers are in tests/export/test_gguf.py.
"""

import json
import random
import subprocess
import sys
from contextlib import closing

import pytest
from potstill import runtime
from potstill.errors import InputError
from potstill.runtime import Request, Sampling, llama_cpp, prefixes
from potstill.runtime.llama_decoder import BATCH, Decoder

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


def streamed(model, ids, num):
    return [c.id for c in model.stream(Request(ids, num)) if c.id is not None]


def generated(model, prompts, num, **how):
    answers = model.generate([Request(ids, num) for ids in prompts], **how)
    return [answer.ids for answer in answers]


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
        assert streamed(endless, ids, 12) == greedy(endless, ids, 12)


@pytest.mark.parametrize("parallel", [1, 2, 3, 16])
def test_batched_answers_are_the_streamed_ones(endless, parallel):
    expected = [streamed(endless, ids, 15) for ids in PROMPTS]
    assert generated(endless, PROMPTS, 15, parallel=parallel) == expected
    assert len({len(answer) for answer in expected}) == 1


def test_slots_are_taken_over_when_answers_end_at_different_lengths(endless):
    free = [streamed(endless, ids, 20) for ids in PROMPTS]
    endless.stop_ids = frozenset(answer[3 * n % 7 + 1] for n, answer in enumerate(free))
    try:
        expected = [streamed(endless, ids, 20) for ids in PROMPTS]
        assert len({len(answer) for answer in expected}) > 2
        assert generated(endless, PROMPTS, 20, parallel=3) == expected
        assert not any(set(answer) & endless.stop_ids for answer in expected)
    finally:
        endless.stop_ids = frozenset()


def test_stop_ids_come_from_the_artefact(loaded):
    assert loaded.stop_ids == {2}
    assert loaded.vocab_size == 509


def test_generation_ends_where_the_context_is_full(tiny_gguf):
    path = tiny_gguf("llama", "f16") / "model.gguf"
    with closing(llama_cpp.LlamaCpp(path, stop_ids=frozenset(), threads=1, context=9)) as model:
        assert len(streamed(model, [1, 2, 3], 50)) == 6
        answers = generated(model, [[1, 2, 3], [5] * 9], 50)
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


def read_all(model, prompts, *, shares):
    """Return the logits behind each prompt, read in turn by three slots, and the ids computed."""
    cuts = prefixes.cuts(prompts)
    decoder = Decoder(
        model._model, threads=2, length=700, num_slots=3, shares=shares, cache=model._cache
    )
    with closing(decoder):
        rows = []
        for place, ids in enumerate(prompts):
            slot = place % 3
            rows.append(decoder.read(slot, ids, cuts[ids]).copy())
            # What a slot writes behind its prompt does not count for those that come.
            decoder.step([4, 5], [slot] * 2, [len(ids), len(ids) + 1], 1)
        return rows, decoder.num_read


def numbers(count, factor):
    return tuple(n * factor % 509 for n in range(count))


HEAD, EXAMPLES = numbers(40, 7919), numbers(530, 104729)
SHARED = {  # prompts, and how many ids of them are computed
    "a system's message": ([(*HEAD, n, n + 1, *numbers(n, 31)) for n in range(7)], 40 + 35),
    "two tasks, each with examples": (
        [(*HEAD, n, *EXAMPLES[:90], n, n + i) for i in range(4) for n in (1, 2)],
        40 + 2 * 92 + 8,
    ),
    "longer than a batch": ([(*EXAMPLES, n) for n in range(4)], 530 + 4),
    "one prompt several times": ([(*HEAD, n) for n in range(3) for _ in range(4)], 40 + 3),
    "one begins another": ([HEAD, (*HEAD, 9), HEAD[:30], (*HEAD, 9, 9)], 40 + 11 + 30 + 12),
}  # fmt: skip


@pytest.mark.parametrize("case", SHARED)
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_what_prompts_share_is_computed_once_and_changes_no_bit(tiny_gguf, family, case):
    prompts, computed = SHARED[case]
    with closing(runtime.load(tiny_gguf(family, "q8_0"), context=700)) as model:
        want, alone = read_all(model, prompts, shares=False)
        got, shared = read_all(model, prompts, shares=True)
    assert [row.tobytes() for row in got] == [row.tobytes() for row in want]
    assert (alone, shared) == (sum(map(len, prompts)), computed)


def test_prompts_are_cut_where_many_part_and_not_for_a_few_ids():
    """By trying all places: a cut is one where prompts part, LEAST ids behind the cut before."""
    draw = random.Random(5)
    heads = [numbers(draw.randrange(60), factor) for factor in (3, 5, 7, 11)]
    prompts = [
        (*heads[0], *draw.choice(heads), *draw.choice(heads), *numbers(draw.randrange(1, 30), 13))
        for _ in range(60)
    ]
    cuts = prefixes.cuts(prompts)
    assert set(cuts) == set(prompts)
    assert len({len(places) for places in cuts.values()}) > 2
    for ids, places in cuts.items():
        want, last = [], 0
        for end in range(1, len(ids)):
            others = {other[end : end + 1] for other in set(prompts) if other[:end] == ids[:end]}
            if len(others) > 1 and end - last >= prefixes.LEAST:
                want.append(last := end)
        assert list(places) == want


def test_answers_behind_a_shared_beginning_are_the_streamed_ones(endless):
    system = [int(n * 7919 % 509) for n in range(120)]
    prompts = [[*system, n, n + 1] for n in range(9)]
    expected = [streamed(endless, ids, 10) for ids in prompts]
    assert len({tuple(answer) for answer in expected}) > 1
    assert generated(endless, prompts, 10, parallel=3) == expected


@pytest.mark.parametrize("samples", [5, 20])
def test_samples_of_a_prompt_compute_it_once_and_are_those_alone(endless, monkeypatch, samples):
    """More of them than slots, so that a slot reads a prompt that it has itself."""
    counts = []
    close = Decoder.close
    monkeypatch.setattr(
        Decoder, "close", lambda self: (counts.append(self.num_read), close(self))[1]
    )
    prompts = [numbers(70, factor) for factor in (31, 37)]
    sampling = Sampling(temperature=1.0, seed=3)
    requests = [
        Request(ids, 8, sampling=sampling, sample=sample)
        for ids in prompts
        for sample in range(samples)
    ]
    got = [answer.ids for answer in endless.generate(requests)]
    assert counts == [2 * 70]
    assert got == [[c.id for c in endless.stream(request)] for request in requests]
    assert len(set(map(tuple, got))) > samples


def test_nothing_to_do(loaded):
    assert generated(loaded, [], 5) == []
    assert generated(loaded, [[1]], 0) == [[]]
    assert streamed(loaded, [1], 0) == []


@pytest.mark.parametrize(
    ("ids", "reason"),
    [([], "0 ids were given"), ([509], "vocabulary has 0 to 508"), ([3, -1], "ids from -1 to 3")],
)
def test_ids_that_cannot_be_are_refused(loaded, ids, reason):
    for use in (loaded.logits, lambda i: next(loaded.stream(Request(i, 1))),
                lambda i: generated(loaded, [[1], i], 1)):  # fmt: skip
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
from potstill.runtime import Request
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
        model.generate([Request([1, 2, 3], 2)])
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
