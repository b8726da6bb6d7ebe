"""The store gives back what was cached, keyed by content, and refuses what does not match.

What the bytes of a row are is tested with the codecs.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from potstill import files
from potstill.errors import InputError
from potstill.logits import store as store_module
from potstill.logits.assembly import assemble
from potstill.logits.parts import part_path, write_part
from potstill.logits.store import LogitStore, packed_keys
from potstill.logits.topk import truncate

from tests.logits.conftest import example, header


def test_cached_rows_equal_the_teacher_run_alone(make, rows, direct):
    store = make()
    for row in rows:  # the store saw them padded and in batches
        want, got = truncate(direct(row), 9), store.get([row.key])
        order = want.ids_NK.argsort(-1)
        assert torch.equal(got.ids_NK, want.ids_NK.gather(-1, order))
        spread = want.log_probs_NK.amax(-1) - want.log_probs_NK.amin(-1)
        error = (got.log_probs_NK - want.log_probs_NK.gather(-1, order)).abs().amax(-1)
        assert (error <= (spread + 0.125) / 63 + 1e-3).all()
        assert torch.allclose(got.log_tail_N, want.log_tail_N, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("codec", ["topk", "sampled"])
def test_order_of_asking_decides_the_order_of_rows(make, rows, codec):
    store = make(codec=codec, k=16)
    both = store.get([rows[2].key, rows[0].key])
    first, second = store.get([rows[2].key]), store.get([rows[0].key])
    ids, ones, twos = (s.ids_NK if codec == "topk" else s.ids_NS for s in (both, first, second))
    assert torch.equal(ids[: len(ones), : ones.shape[1]], ones)
    assert torch.equal(ids[len(ones) :, : twos.shape[1]], twos)


def test_rows_that_differ_in_one_token_have_their_own_entries(rows):
    assert rows[0].key != rows[3].key
    assert example(rows[0].ids, 3).key != rows[0].key


def test_a_key_is_found_by_all_its_bytes(tmp_path):
    """Keys with zeros at either end, and neighbours that differ in the last bit."""
    keys = [f"{number:032x}" for number in (0, 1, 2, 256, 1 << 120, (1 << 128) - 1)]
    store = write(tmp_path, [keys[::-1]])
    for number, key in enumerate(keys):
        assert store.get([key]).ids_NS[0, 0] == len(keys) - 1 - number
    for absent in (3, 1 << 119, (1 << 128) - 2):
        with pytest.raises(InputError, match=f"has no row {absent:032x}"):
            store.get([f"{absent:032x}"])


def write(tmp_path, parts, name="made", **how):
    """Write a store whose rows are one token each, drawn once: the row's number in its part."""
    made = header("sampled", k=1)
    paths = []
    for keys in parts:
        paths.append(part_path(tmp_path, made, keys))
        blobs = [np.array([1, *number.to_bytes(2, "little")], np.uint8) for number in
                 range(len(keys))]  # fmt: skip
        write_part(paths[-1], keys, blobs, [1] * len(keys))
    assemble(paths, tmp_path / name, made, **how)
    return LogitStore(tmp_path / name)


def test_a_key_of_several_parts_is_stored_once_and_taken_from_the_first(tmp_path):
    a, b, c = ("0a" * 16, "0b" * 16, "0c" * 16)
    store = write(tmp_path, [[a, b], [c, a], [b, a]])
    assert len(store) == store.num_tokens == 3
    assert store.get([a, b, c]).ids_NS[:, 0].tolist() == [0, 1, 0]
    assert sum(p.stat().st_size for p in store.folder.glob("data-*")) == 3 * 3


def test_rows_may_lie_in_several_files(tmp_path):
    keys = [f"{number * 7919 % 256:02x}" * 16 for number in range(20)]
    store = write(tmp_path, [keys[:7], keys[7:9], keys[9:]], file_bytes=10)
    one = write(tmp_path, [keys[:7], keys[7:9], keys[9:]], name="one")
    assert len(list(store.folder.glob("data-*"))) == 2
    assert torch.equal(store.get(keys).ids_NS, one.get(keys).ids_NS)


def test_equal_rows_give_equal_bytes(make, tmp_path):
    make("a", scratch="x")
    make("b", scratch="y")
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


@pytest.mark.parametrize("name", ["tokenizer_sha256", "template_sha256"])
def test_a_store_for_something_else_is_refused(make, name):
    store = make()
    wanted = {"tokenizer_sha256": "tok", "template_sha256": "tpl"}
    store.check(wanted)
    with pytest.raises(InputError, match=f"{name}.*run cache_logits"):
        store.check(wanted | {name: "other"})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("codec", "topq", "unknown codec 'topq'; .*did you mean topk"),
        ("version", 0, "version 0 of the codec topk, version 1 is read here: run"),
        ("temperature", 2.0, "not that of a signal store of this version: run"),
    ],
)
def test_another_codec_is_refused(make, tmp_path, key, value, said):
    make()
    path = tmp_path / "s/header.json"
    found = files.read_json(path)
    found["header"][key] = value
    path.write_text(json.dumps(found))
    with pytest.raises(InputError, match=said):
        LogitStore(tmp_path / "s")


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("pattern", ["data-*", "keys.npy", "places.npy"])
@pytest.mark.parametrize(("damage", "said"), [(truncated, "bytes, .* were"),
                                              (lambda path: path.unlink(), "missing")])  # fmt: skip
def test_a_truncated_or_missing_file_is_refused_on_opening(make, tmp_path, pattern, damage, said):
    make()
    damage(next((tmp_path / "s").glob(pattern)))
    with pytest.raises(InputError, match=f"{said}.*delete it and run"):
        LogitStore(tmp_path / "s")


@pytest.mark.parametrize("name", ["extra.pkl", "data-x.bin", ".shard.partial", "more/keys.npy"])
def test_a_file_that_was_not_written_is_refused(make, tmp_path, name):
    make()
    (tmp_path / "s/more").mkdir()
    (tmp_path / "s" / name).write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match=f"{name} is no file of a store"):
        LogitStore(tmp_path / "s")


def test_an_index_with_pickled_objects_is_refused(make, tmp_path):
    make()
    path = tmp_path / "s/keys.npy"
    np.save(path, np.array([{}, {}], object), allow_pickle=True)
    found = files.read_json(tmp_path / "s/header.json")
    found["files"]["keys.npy"]["bytes"] = path.stat().st_size
    (tmp_path / "s/header.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match=r"keys\.npy: .*Python objects"):
        LogitStore(tmp_path / "s")


def test_a_flipped_bit_is_found_on_demand(make, tmp_path):
    store = make()
    store.verify()
    path = next((tmp_path / "s").glob("data-*"))
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"is not what was written.*delete it and run"):
        LogitStore(tmp_path / "s").verify()


def test_an_unknown_row_is_refused(make):
    with pytest.raises(InputError, match=r"has no row .* run cache_logits again"):
        make().get([example((1, 2, 3), 1).key])


@pytest.mark.parametrize("asked", [1, 2, 9])
def test_rows_that_are_missing_are_counted_over_all_that_are_asked(make, rows, monkeypatch, asked):
    monkeypatch.setattr(store_module, "ASKED", asked)
    store = make(rows=rows[:3])
    store.require(rows[:3])
    absent = [example((1, 2, number), 1) for number in (3, 4)]
    with pytest.raises(InputError, match=rf"has no row {absent[0].key} \(2 of 5 are missing\)"):
        store.require([*rows[:2], absent[0], rows[2], absent[1]])


def test_the_index_is_in_the_order_of_all_keys(tmp_path):
    source = np.random.default_rng(0)
    keys = [source.bytes(16).hex() for _ in range(700)]
    store = write(tmp_path, [keys[:300], keys[200:600], keys[600:]])
    assert store.keys.tolist() == sorted(bytes.fromhex(key).rstrip(b"\0") for key in keys)
    wanted = [*range(300), *range(100, 400), *range(100)]
    assert store.get(keys).ids_NS[:, 0].tolist() == wanted


def test_a_folder_without_header_is_no_store(make, tmp_path):
    make()
    shutil.move(tmp_path / "s/header.json", tmp_path / "header.json")
    with pytest.raises(InputError, match=r"header\.json is missing: run `dvc repro`"):
        LogitStore(tmp_path / "s")


def test_no_rows_are_no_signal(make):
    signal = make().get([])
    assert signal.ids_NK.shape == (0, 9)


def test_packed_keys_sort_as_their_texts(rows):
    keys = sorted(row.key for row in rows)
    packed = packed_keys(keys)
    assert (np.sort(packed) == packed).all()
