"""Every checkpoint gets its record, under the name that `export` looks for."""

import gc
import shutil
import weakref

from potstill.loading import load
from potstill.proving import reference
from potstill.tokens import recorded

from stages.record_reference import Params, main

SETTINGS = {
    "texts": 2, "max_length": 64, "greedy_prompts": 1, "greedy_tokens": 3, "teacher_answers": 3,
    "threads": 1,
}  # fmt: skip


def test_teacher_and_students_are_recorded(tiny_llama, dataset, tmp_path):
    for name in ("kd", "labels_only"):
        shutil.copytree(tiny_llama, tmp_path / "students" / name)
    metrics = main(
        Params(**SETTINGS),
        teacher=shutil.copytree(tiny_llama, tmp_path / "teacher_adapted"),
        students=tmp_path / "students",
        dataset=dataset,
        out=tmp_path / "out",
    )
    names = {
        p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.glob("out/**/*.safetensors")
    }
    wanted = {"teacher_adapted", "students/kd", "students/labels_only"}
    assert names == {f"{name}.safetensors" for name in wanted} | {recorded.NAME}
    assert metrics["num_checkpoints"] == len(wanted)
    assert metrics["bytes"] > 2 * len(names) * 509 * 4
    texts = reference.read(tmp_path / "out/students/kd.safetensors").texts
    assert len(texts) == 2
    assert all("wrap text 3" in text.text for text in texts)  # of validation


def test_no_model_is_held_while_the_next_is_loaded(
    tiny_llama, dataset, tmp_path, monkeypatch, request
):
    """Two large models at once would double what the stage needs of memory.

    Weights are watched, not what holds them: it is they that keep a whole mapped file in memory.
    """
    alive, others, plain = weakref.WeakSet(), [], load.causal_lm

    def watched(*args):
        others.append(len(alive))
        model = plain(*args)
        alive.update(model.modules())
        return model

    monkeypatch.setattr(load, "causal_lm", watched)
    gc.disable()
    request.addfinalizer(gc.enable)
    for name in "ab":
        shutil.copytree(tiny_llama, tmp_path / "students" / name)
    folders = {"teacher": tiny_llama, "students": tmp_path / "students", "dataset": dataset}
    main(Params(**SETTINGS), **folders, out=tmp_path / "out")
    assert others == [0, 0, 0, 0]  # the teacher's once more, for its answers
