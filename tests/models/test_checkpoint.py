"""Checkpoint folders: every dtype, one file or several, links instead of copies."""

import fcntl
import json
import os
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from potstill import files
from potstill.errors import InputError
from potstill.loading import load
from potstill.models import checkpoint


def same(first, second):
    return set(first) == set(second) and all(torch.equal(first[n], second[n]) for n in first)


@pytest.fixture
def sharded(tiny_llama, tmp_path):
    """The tiny model in files of at most 40,000 bytes."""
    out = tmp_path / "sharded"
    state, config = checkpoint.read_state(tiny_llama), checkpoint.read_config(tiny_llama)
    checkpoint.write(out, state, config, beside=tiny_llama, shard_bytes=40_000)
    return out


def test_bfloat16_is_read_as_arrays(tiny_llama, tmp_path):
    state = {k: w.bfloat16() for k, w in checkpoint.read_state(tiny_llama).items()}
    checkpoint.write(tmp_path / "c", state, checkpoint.read_config(tiny_llama), beside=tiny_llama)
    arrays = checkpoint.read_arrays(tmp_path / "c")
    assert {array.dtype for array in arrays.values()} == {np.dtype(ml_dtypes.bfloat16)}
    for name, array in arrays.items():
        assert np.array_equal(array.astype(np.float32), state[name].float().numpy())


def test_bfloat16_is_read_in_a_process_that_knows_numpy_alone(tiny_llama, tmp_path):
    """Other imports of this test's process may have made the dtype known."""
    import subprocess
    import sys

    state = {k: w.bfloat16() for k, w in checkpoint.read_state(tiny_llama).items()}
    checkpoint.write(tmp_path / "c", state, checkpoint.read_config(tiny_llama), beside=tiny_llama)
    code = (
        "import pathlib, sys\nfrom potstill.models import checkpoint\n"
        "print(len(checkpoint.read_arrays(pathlib.Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "c"], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.returncode) == (str(len(state)), 0), done.stderr


def test_a_large_checkpoint_is_several_files_that_are_read_as_one(sharded, tiny_llama):
    index = json.loads((sharded / checkpoint.INDEX).read_text())
    paths = checkpoint.weight_files(sharded)
    assert len(paths) > 2
    assert not (sharded / checkpoint.WEIGHTS).exists()
    assert index["metadata"]["total_size"] == 4 * checkpoint.count_parameters(tiny_llama)
    assert checkpoint.shapes(sharded) == checkpoint.shapes(tiny_llama)
    whole = checkpoint.read_state(tiny_llama)
    assert same(checkpoint.read_state(sharded), whole)
    assert same(dict(checkpoint.tensors(sharded)), whole)
    theirs = load.causal_lm(sharded, torch.float32, torch.device("cpu")).state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in whole.items())


def test_no_file_is_larger_than_asked_but_for_a_tensor_that_is(sharded):
    held = {}
    for name, file in json.loads((sharded / checkpoint.INDEX).read_text())["weight_map"].items():
        held.setdefault(file, []).append(4 * np.prod(checkpoint.shapes(sharded)[name]))
    assert all(sum(sizes) <= 40_000 or len(sizes) == 1 for sizes in held.values())
    assert max(map(sum, held.values())) > 40_000  # the embedding


def test_files_beside_the_weights_are_not_read(tiny_llama, tmp_path):
    copy = shutil.copytree(tiny_llama, tmp_path / "c")
    shutil.copy(copy / "model.safetensors", copy / "consolidated.safetensors")
    (copy / "adapter_model.safetensors").write_bytes(b"damaged")
    assert checkpoint.count_parameters(copy) == checkpoint.count_parameters(tiny_llama)


def test_a_shard_that_is_missing_is_named(sharded):
    last = checkpoint.weight_files(sharded)[-1]
    last.unlink()
    with pytest.raises(InputError, match=f"lists {last.name}, which is missing"):
        checkpoint.read_state(sharded)


def test_an_index_that_leads_out_of_the_folder_is_refused(sharded):
    index = json.loads((sharded / checkpoint.INDEX).read_text())
    index["weight_map"]["model.norm.weight"] = "../sharded/" + index["weight_map"].popitem()[1]
    (sharded / checkpoint.INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match="which is missing"):
        checkpoint.shapes(sharded)


def test_what_is_beside_is_linked_and_rewriting_it_leaves_the_first_alone(sharded, tiny_llama):
    ours, theirs = sharded / "tokenizer.json", tiny_llama / "tokenizer.json"
    before = theirs.read_bytes()
    assert ours.read_bytes() == before
    files.write_json(ours, {})
    assert theirs.read_bytes() == before


def test_a_link_is_the_same_file_or_shares_its_blocks(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"x" * 10_000)
    checkpoint.link(first, second)
    assert second.read_bytes() == b"x" * 10_000
    assert second.samefile(first) or _shares_blocks(first, tmp_path / "clone")
    with pytest.raises(FileExistsError):
        checkpoint.link(first, second)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system at /dev/shm")
def test_across_file_systems_a_link_is_a_copy(tmp_path):
    first, second = tmp_path / "a", Path("/dev/shm") / f"potstill-{os.getpid()}"
    first.write_bytes(b"x" * 10_000)
    assert first.stat().st_dev != second.parent.stat().st_dev
    try:
        checkpoint.link(first, second)
        assert second.read_bytes() == b"x" * 10_000
    finally:
        second.unlink(missing_ok=True)


def _shares_blocks(path, target):
    with path.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new.fileno(), checkpoint._FICLONE, old.fileno())
        except OSError:
            return False
    return True
