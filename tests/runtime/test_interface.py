"""What every runtime must do alike; a format adds a row. What is special has files of its own.

A tiny random model writes no sense, but sampling it gives all kinds of ids, half characters too.
"""

from contextlib import closing
from dataclasses import fields

import numpy as np
import pytest
from potstill import runtime
from potstill.export import build
from potstill.models.chat import ChatTokenizer
from potstill.runtime import Request, Sampling
from potstill.runtime.request import collect

FORMATS = [("gguf", "f16"), ("onnx", "fp32"), ("compressed_tensors", "stated")]
PROMPTS = [[1, 87, 305, 84], [1], [17, 5] * 20, [400, 3, 77], [1, 87, 305, 85, 9], [1, 87], [8, 9]]
HOT = Sampling(temperature=1.5, top_p=0.98, seed=11)


@pytest.fixture(scope="module")
def artefacts(tiny_packed, tmp_path_factory):
    """Every format of one checkpoint, whose weights are rounded already."""
    made = {}

    def get(format_, quantisation, family="llama"):
        if (format_, family) not in made:
            out = tmp_path_factory.mktemp(f"{format_}_{family}") / "artefact"
            source = tiny_packed(family, "rtn_w4a16")
            build.build(source, out, format=format_, quantisation=quantisation)
            made[format_, family] = out
        return made[format_, family]

    return get


@pytest.fixture(scope="module", params=FORMATS, ids=[name for name, _ in FORMATS])
def loaded(request, artefacts):
    with closing(runtime.load(artefacts(*request.param), context=128)) as model:
        yield model


def test_every_format_is_tested_here():
    assert {name for name, _ in FORMATS} == set(runtime.RUNTIMES)


def test_a_stream_is_the_answer_in_pieces(loaded):
    for sampling in (Sampling(), HOT):
        requests = [
            Request(ids, 20, sampling=sampling, logprobs=2, stops=["e", "\n "]) for ids in PROMPTS
        ]
        for request in requests:
            chunks = list(loaded.stream(request))
            assert [chunk.finish is None for chunk in chunks] == [True] * (len(chunks) - 1) + [
                False
            ]
            answer = collect(chunks)
            whole = loaded.generate([request])[0]
            assert (answer.ids, answer.text) == (whole.ids, whole.text)
            assert answer.finish == whole.finish
            assert answer.logprobs == pytest.approx(whole.logprobs, abs=1e-4)


def test_a_seed_repeats_whatever_else_is_asked_and_in_whatever_order(loaded):
    requests = [Request(ids, 16, sampling=HOT, sample=n) for ids in PROMPTS for n in range(3)]
    first = loaded.generate(requests)
    assert loaded.generate(requests) == first
    assert loaded.generate(requests[::-1])[::-1] == first
    assert loaded.generate(requests[5:6]) == first[5:6]
    assert len({tuple(answer.ids) for answer in first}) > 15
    other = [Request(r.prompt, 16, sampling=HOT.model_copy(update={"seed": 12})) for r in requests]
    assert [a.ids for a in loaded.generate(other)] != [a.ids for a in first]


def test_requests_of_one_call_keep_their_own_settings(loaded):
    mixed = [
        Request(PROMPTS[0], 5),
        Request(PROMPTS[0], 12, sampling=HOT, logprobs=1),
        Request(PROMPTS[2], 0),
        Request(PROMPTS[3], 9, sampling=HOT, stops=["a"]),
    ]
    together = loaded.generate(mixed)
    alone = [loaded.generate([request])[0] for request in mixed]
    assert [(a.ids, a.text, a.finish) for a in together] == [
        (a.ids, a.text, a.finish) for a in alone
    ]
    assert together[2].finish == "length"
    assert [bool(a.logprobs) for a in together] == [False, True, False, False]


def test_log_probabilities_are_those_of_the_logits(loaded):
    request = Request(PROMPTS[0], 8, sampling=HOT, logprobs=3)
    answer = loaded.generate([request])[0]
    rows = loaded.logits([*request.prompt, *answer.ids])[len(request.prompt) - 1 : -1]
    want = rows - np.log(np.exp(rows.astype(np.float64)).sum(1, keepdims=True))
    assert len(answer.logprobs) == len(answer.top) == len(answer.ids)
    for token, value, top, row in zip(answer.ids, answer.logprobs, answer.top, want, strict=True):
        assert value == pytest.approx(row[token], abs=0.02)
        assert list(top.values()) == pytest.approx(np.sort(row)[:-4:-1], abs=0.02)
        assert list(top.values()) == sorted(top.values(), reverse=True)


def test_the_text_is_that_of_the_tokenizer(loaded, artefacts):
    chat = ChatTokenizer(artefacts("gguf", "f16"))
    requests = [Request(ids, 24, sampling=HOT, sample=n) for ids in PROMPTS for n in range(8)]
    answers = loaded.generate(requests)
    assert [a.text for a in answers] == [chat.decode(a.ids) for a in answers]
    assert any("\ufffd" in a.text for a in answers)  # bytes that are no character
    assert {a.finish for a in answers} == {"length", "stop_id"}


def test_a_stop_text_cuts_the_text_and_keeps_the_ids_up_to_it(loaded):
    """The stops are taken from the answers, across the borders of tokens."""
    cut = 0
    for n in range(12):
        request = Request(PROMPTS[n % 7], 24, sampling=HOT, sample=n)
        free = loaded.generate([request])[0]
        stop = free.text[5:8]
        place = free.text.find(stop, len(free.text) - len(free.text.lstrip()) + 1)
        if len(stop) < 3 or place < 0 or "\ufffd" in free.text[: place + 3]:
            continue
        cut += 1
        answer = loaded.generate(
            [Request(request.prompt, 24, sampling=HOT, sample=n, stops=[stop])]
        )[0]
        assert (answer.text, answer.finish) == (free.text[:place], "stop_text")
        assert answer.ids == free.ids[: len(answer.ids)]
        kept = [loaded.generate([Request(request.prompt, length, sampling=HOT, sample=n)])[0].text
                for length in (len(answer.ids) - 1, len(answer.ids))]  # fmt: skip
        assert stop not in kept[0][1:]
        assert stop in kept[1]
    assert cut > 3


def test_an_answer_says_why_it_ended(loaded):
    room = 128 - len(PROMPTS[2])
    endings = set()
    for n in range(6):
        answer = loaded.generate([Request(PROMPTS[2], 500, sampling=HOT, sample=n)])[0]
        endings.add(answer.finish)
        assert (answer.finish == "context") == (len(answer.ids) == room)
        assert not set(answer.ids) & loaded.stop_ids
    full = loaded.generate([Request([5] * 128, 9), Request([5] * 127, 1)])
    assert [a.finish for a in full] in (["context", "length"], ["context", "stop_id"])
    assert endings <= {"context", "stop_id"}


def test_runtimes_of_one_checkpoint_draw_alike(artefacts):
    """Logits differ in their last digits, so nearly all answers are equal, and their text too."""
    requests = [Request(ids, 12, sampling=HOT, sample=n) for ids in PROMPTS for n in range(4)]
    answers = []
    for format_, quantisation in FORMATS:
        with closing(runtime.load(artefacts(format_, quantisation), context=128)) as model:
            answers.append([(a.ids, a.text, a.finish) for a in model.generate(requests)])
    for other in answers[1:]:
        assert np.mean([a == b for a, b in zip(answers[0], other, strict=True)]) > 0.8


@pytest.mark.parametrize("family", ["llama", "llama2", "llama3", "mistral", "qwen2", "qwen3"])
def test_every_id_has_the_bytes_of_the_tokenizer(artefacts, family):
    """An answer is decoded piece by piece; whole texts by tokenizers are the oracle."""
    chat = ChatTokenizer(artefacts("gguf", "f16", family))
    text = "def f(x):\n    return {'é': 🙂}  # 日本\t"
    names = {token: chat.tokenizer.id_to_token(token) for token in range(40, 400)}
    # of a row of raw bytes tokenizers makes all of them invalid if one is
    ids = chat.encode(text) + [token for token, name in names.items() if name[:3] != "<0x"]
    for format_, quantisation in FORMATS:
        model = runtime.load(artefacts(format_, quantisation, family), context=512)
        pieces = model._pieces
        made = b"".join(map(pieces.of, ids)).decode(errors="replace")
        model.close()
        assert made[pieces.drops_space and made[0] == " " :] == chat.decode(ids)


def test_a_caller_can_ask_what_a_format_can_do_before_loading():
    for name in runtime.RUNTIMES:
        can = runtime.RUNTIMES[name].CAPABILITIES
        assert {field.name for field in fields(can)} == {
            "batches", "prefixes", "logits", "logprobs", "sampling", "stops", "constraint",
        }  # fmt: skip
    assert runtime.RUNTIMES["gguf"].CAPABILITIES.batches
    assert not runtime.RUNTIMES["onnx"].CAPABILITIES.batches
    assert not runtime.RUNTIMES["compressed_tensors"].CAPABILITIES.batches


def test_an_answer_ends_where_its_asker_has_seen_enough(loaded):
    for n in range(6):
        free = loaded.generate([Request(PROMPTS[n], 24, sampling=HOT)])[0]
        seen = []

        def enough(text, seen=seen):
            seen.append(text)
            return len(text) >= 6

        answer = loaded.generate([Request(PROMPTS[n], 24, sampling=HOT, until=enough)])[0]
        assert answer.ids == free.ids[: len(answer.ids)]
        assert free.text.startswith(answer.text.rstrip("\ufffd"))  # half a character may end it
        if len(answer.ids) < len(free.ids):
            assert answer.finish == "stop_text"
            assert answer.text.startswith(seen[-1])
            assert [len(text) >= 6 for text in seen] == [False] * (len(seen) - 1) + [True]


def test_each_answer_is_told_once_and_as_it_is_returned(loaded):
    requests = [Request(ids, n, sampling=HOT) for n, ids in enumerate(PROMPTS * 2)]
    told = []
    answers = loaded.generate(requests, done=lambda place, answer: told.append((place, answer)))
    assert sorted(place for place, _ in told) == list(range(len(requests)))
    assert all(answers[place] == answer for place, answer in told)


def test_a_caller_that_fails_ends_the_call(loaded):
    def fail(place, answer):
        raise KeyError(place, answer)

    with pytest.raises(KeyError):
        loaded.generate([Request(PROMPTS[0], 4)], done=fail)
    assert loaded.generate([Request(PROMPTS[0], 4)])
