"""The student has the layers asked for and the teacher's other weights."""

import pytest
import torch
from potstill.errors import InputError
from potstill.models import checkpoint

from stages.init_student import Params, main

SETTINGS = {
    "num_layers": 1,
    "candidates": 2,
    "calibration_rows": 4,
    "max_length": 128,
    "threads": 2,
    "seed": 0,
}


def test_fewer_layers_and_the_same_head(tiny_llama, dataset, tmp_path):
    from tests.students.test_depth import four_layers

    teacher = four_layers(tiny_llama, tmp_path / "teacher")
    params = Params(**(SETTINGS | {"num_layers": 3}))
    metrics = main(params, teacher=teacher, dataset=dataset, out=tmp_path / "out")
    assert (metrics["num_layers_before"], metrics["num_layers_after"]) == (4, 3)
    assert metrics["num_parameters"] < metrics["num_parameters_before"]
    before, after = checkpoint.read_state(teacher), checkpoint.read_state(tmp_path / "out")
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    assert checkpoint.read_config(tmp_path / "out")["num_hidden_layers"] == 3


@pytest.mark.parametrize("wrong", [0, 9])
def test_an_impossible_depth_is_refused(tiny_llama, dataset, tmp_path, wrong):
    with pytest.raises(InputError, match=f"num_layers is {wrong}; 2 to 2"):
        main(
            Params(**(SETTINGS | {"num_layers": wrong})),
            teacher=tiny_llama,
            dataset=dataset,
            out=tmp_path / "out",
        )
