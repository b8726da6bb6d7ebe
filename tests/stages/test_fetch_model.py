"""The stage writes a checkpoint with its origin, twice the same."""

import pytest
from potstill import files
from potstill.errors import InputError

from stages.fetch_model import Params, main


def test_the_checkpoint_and_its_description(tiny_llama, tmp_path):
    params = Params(source=f"folder:{tiny_llama}", revision=None, dtype="float32")
    metrics = main(params, out=tmp_path / "a")
    assert metrics["vocab_size"] == 509
    assert metrics["num_layers"] == 2
    assert metrics["num_parameters"] > 10_000
    assert main(params, out=tmp_path / "b") == metrics
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


def test_nothing_to_fetch_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        main(Params(source="folder:nowhere", revision=None, dtype="float32"), out=tmp_path / "a")
