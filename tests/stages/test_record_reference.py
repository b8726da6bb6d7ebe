"""Every checkpoint gets its record, under the name that `export` looks for."""

import shutil

import pytest
from potstill.parity import reference

from stages.record_reference import Params, main

SETTINGS = {"texts": 2, "max_length": 64, "greedy_prompts": 1, "greedy_tokens": 3, "threads": 1}


@pytest.mark.parametrize("fetched", [True, False])
def test_teachers_and_students_are_recorded(tiny_llama, dataset, tmp_path, fetched):
    for name in ("kd", "labels_only"):
        shutil.copytree(tiny_llama, tmp_path / "students" / name)
    adapted = shutil.copytree(tiny_llama, tmp_path / "teacher_adapted")
    metrics = main(
        Params(**SETTINGS, fetched_teacher=fetched),
        teacher=shutil.copytree(tiny_llama, tmp_path / "teacher"),
        adapted=adapted,
        students=tmp_path / "students",
        dataset=dataset,
        out=tmp_path / "out",
    )
    names = {
        p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.glob("out/**/*.safetensors")
    }
    wanted = {"teacher_adapted", "students/kd", "students/labels_only"} | (
        {"teacher"} if fetched else set()
    )
    assert names == {f"{name}.safetensors" for name in wanted}
    assert metrics["num_checkpoints"] == len(names)
    assert metrics["bytes"] > 2 * len(names) * 509 * 4
    assert len(reference.read(tmp_path / "out/students/kd.safetensors").texts) == 2
