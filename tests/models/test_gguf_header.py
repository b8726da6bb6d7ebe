"""The reader of GGUF headers; what llama.cpp makes of a whole file is in tests/runtime."""

import random
import struct

import pytest
from gguf import GGUFReader
from potstill.errors import InputError
from potstill.models import gguf_header

from tests import gguf_files
from tests.tiny_models import CASES

KIND = b"ggml.model\x08\0\0\0\x05\0\0\0\0\0\0\0"  # a key's end, string, five letters


@pytest.fixture
def model(tiny_gguf):
    return tiny_gguf("llama", "q8_0") / "model.gguf"


def test_reads_what_the_package_gguf_reads(model):
    ours, theirs = gguf_header.read_header(model), GGUFReader(model)
    expected = {k: f.contents() for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
    assert ours.fields == expected
    assert [(t.name, list(t.shape), t.type, t.num_bytes) for t in ours.tensors] == [
        (t.name, list(t.shape), t.tensor_type, t.n_bytes) for t in theirs.tensors
    ]


def test_every_truncation_is_refused_by_name(model, tmp_path):
    data = model.read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in (0, 3, 4, 11, 23, 100, 5_000, len(data) // 2, len(data) - 64):
        cut.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"cut\.gguf is not a whole GGUF file"):
            gguf_header.read_header(cut)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (0, b"GGML", "begin with GGUF"),
        (4, struct.pack("<I", 2), "version 2"),
        (8, struct.pack("<Q", 2**62), "number of tensors"),
        (16, struct.pack("<Q", 2**62), "number of keys"),
        (24, struct.pack("<Q", 2**63), "truncated"),
    ],
)
def test_impossible_numbers_are_refused(model, tmp_path, offset, value, reason):
    data = bytearray(model.read_bytes())
    data[offset : offset + len(value)] = value
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(data)
    with pytest.raises(InputError, match=reason):
        gguf_header.read_header(bad)


def test_random_damage_raises_nothing_but_an_input_error(model, tmp_path):
    data, bad = model.read_bytes(), tmp_path / "bad.gguf"
    draw = random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[draw.randrange(2_000)] = draw.randrange(256)
        bad.write_bytes(damaged)
        try:
            gguf_header.check_model(bad)
        except InputError:
            refused += 1
    assert refused > 30


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.gguf is missing"):
        gguf_header.read_header(tmp_path / "none.gguf")


@pytest.mark.parametrize("case", CASES)
def test_the_files_of_every_family_pass(case, tiny_checkpoint, tmp_path):
    path = gguf_files.write(case, tiny_checkpoint(case), tmp_path / "x.gguf")
    assert gguf_header.check_model(path) == gguf_header.read_header(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"<0x41>", b"<0y41>", "lacks <0x41>"),
        (b"<0x41>", b"<0x42>", "two tokens have the same text"),  # llama.cpp ends the process
        (b"ggml.scores", b"ggml.scorez", "ggml.scores is missing"),
        (KIND + b"llama", KIND + b"lla5a", "tokenizer.ggml.model is 'lla5a'"),
        (b"llama.attention.key_length", b"llama.attention.key_lengsh", "width 64, heads 48"),
        (b"value_length\x04\0\0\0", b"value_length\x05\0\0\0", "value_length is .*another type"),
    ],
)  # fmt: skip
def test_what_llama_cpp_would_not_survive_is_refused(tiny_checkpoint, tmp_path, old, new, reason):
    path = gguf_files.write("llama2", tiny_checkpoint("llama2"), tmp_path / "x.gguf")
    data = path.read_bytes()
    assert old in data
    count, pair = b"head_count\x04\0\0\0", b"head_count_kv\x04\0\0\0"
    if b"key_length" in old:  # 48 heads of no width of their own
        data = data.replace(count + b"\x04", count + b"\x30").replace(
            pair + b"\x04", pair + b"\x30"
        )
    path.write_bytes(data.replace(old, new))
    with pytest.raises(InputError, match=reason):
        gguf_header.check_model(path)
