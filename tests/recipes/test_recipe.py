"""An artefact of an adapted student is built again from its base, to the byte, or not at all."""

import json
import re
import shutil

import pytest
import torch
import yaml
from potstill import files
from potstill.cli.__main__ import main
from potstill.distill.adapters import lora
from potstill.distill.recipe import LowRank, Vectors
from potstill.distill.start import Start
from potstill.export import build
from potstill.loading import load
from potstill.models import checkpoint
from potstill.recipes import recipe
from potstill.sources import fetch
from potstill.vocabulary import trimming

from tests.distill.runs import schedule

WORDS = ["def add(a, b):\n    return a + b\n", "the sum of two numbers"]
CPU = torch.device("cpu")


@pytest.fixture
def project(tiny_llama, tmp_path, monkeypatch):
    """Return a folder as the pipeline leaves it: base, vocabulary, an adapted student, its GGUF."""
    monkeypatch.chdir(tmp_path)
    for name in ("models/fetched", "models/starts", "models/students", "models/artefacts", "data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "source").symlink_to(tiny_llama)
    base, start = tmp_path / "models/fetched/base", tmp_path / "models/starts/small"
    fetch.fetch("folder:source", None, "float16", base)
    size = checkpoint.read_config(tiny_llama)["vocab_size"] // 64 * 64
    trimming.choose(base, WORDS, size, tmp_path / "data/vocabulary")
    trimming.apply(tmp_path / "data/vocabulary", base, start)
    plan = schedule(adapter=LowRank(kind="lora", r=3, alpha=6.0, targets=["q_proj", "up_proj"]))
    begin = Start.of(start, plan)
    torch.manual_seed(1)
    model = begin.model()
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    begin.save(begin.exact(model), tmp_path / "models/students/kd", [0])
    build.build(
        tmp_path / "models/students/kd",
        tmp_path / "models/artefacts/kd-q8_0",
        format="gguf",
        quantisation="q8_0",
    )
    tree = {
        "export": {
            "kd-q8_0": {"checkpoint": "students/kd"},
            "teacher-q8_0": {"checkpoint": "teacher_adapted"},
            "cut-q8_0": {"checkpoint": "students/cut"},
        },
        "students": {"kd": {"start": "small"}, "cut": {"start": "pruned"}},
        "starts": {"small": {"from": "fetched/base"}, "pruned": {"from": "teacher_adapted"}},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    return tmp_path


def test_a_recipe_gives_the_artefact_again_to_the_byte(project, capsys):
    assert main(["pack", "kd-q8_0", "--out", "small"]) == 0
    assert " MB, for potstill rebuild" in capsys.readouterr().out
    names = {
        path.relative_to(project / "small").parts[0]
        for path in files.files_below(project / "small")
    }
    assert names == {"recipe.json", "adapter", "vocabulary"}
    shutil.rmtree("models")
    assert main(["rebuild", "small"]) == 0
    assert "all files have the hashes" in capsys.readouterr().err
    again = files.read_json(project / "adopted/small/artifact.json")
    wanted = files.read_json(project / "small/recipe.json")["files"]
    assert again["files"] == wanted
    assert [path.name for path in (project / "adopted").iterdir()] == ["small"]


def test_another_place_of_the_base_is_named_and_another_base_refused(project, tiny_qwen2, capsys):
    main(["pack", "kd-q8_0", "--out", "small"])
    shutil.move(project / "source", project / "elsewhere")
    assert main(["rebuild", "small"]) == 2
    assert "folder:source is not a folder" in capsys.readouterr().err
    assert main(["rebuild", "small", "--model", "folder:elsewhere", "--out", "a"]) == 0
    assert main(["rebuild", "small", "--model", f"folder:{tiny_qwen2}", "--out", "b"]) == 2
    assert "another model than the recipe's" in capsys.readouterr().err
    assert not (project / "b").exists()


def test_an_adapter_that_was_changed_gives_other_bytes_and_says_so(project, capsys):
    main(["pack", "kd-q8_0", "--out", "small"])
    path = project / "small/adapter/adapter_config.json"
    path.write_text(path.read_text().replace('"lora_alpha": 6.0', '"lora_alpha": 12.0'))
    assert main(["rebuild", "small"]) == 1
    assert "model.gguf has other bytes" in capsys.readouterr().err


def test_a_share_of_a_recipe_is_another_artefact_and_needs_no_training(project, capsys):
    main(["pack", "kd-q8_0", "--out", "small"])
    assert main(["rebuild", "small", "--interpolation", "0.5", "--out", "half"]) == 0
    assert "another artefact than the recipe's" in capsys.readouterr().err
    path = project / "small/adapter/adapter_config.json"
    path.write_text(path.read_text().replace('"lora_alpha": 6.0', '"lora_alpha": 3.0'))
    assert main(["rebuild", "small", "--out", "scaled"]) == 1
    half, scaled, kd = (
        files.sha256_file(project / folder / "model.gguf")
        for folder in ("half", "scaled", "models/artefacts/kd-q8_0")
    )
    assert half == scaled != kd
    for share in ("0", "1.5", "nan"):
        assert main(["rebuild", "small", "--interpolation", share, "--out", "no"]) == 2
        assert "above 0 and up to 1" in capsys.readouterr().err


def test_a_product_does_not_depend_on_the_order_of_its_sums(tiny_llama):
    """Columns of A and B in another order add the same terms; float32 rounds them otherwise."""
    plan = schedule(adapter=LowRank(kind="lora", r=64, alpha=64.0, targets=["q_proj"]))
    begin = Start.of(tiny_llama, plan)
    model = begin.model()
    layers = list(lora._layers(model).values())
    assert layers
    for layer in layers:
        small, large = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        torch.nn.init.normal_(large)
        before = lora.product(layer)
        order = torch.randperm(64)
        with torch.no_grad():
            small.copy_(small[order].clone())
            large.copy_(large[:, order].clone())
        assert torch.equal(lora.product(layer), before)


@pytest.mark.parametrize(
    ("export", "said"),
    [
        ("kd-q4_0", "no export 'kd-q4_0'.*kd-q8_0"),
        ("teacher-q8_0", "a recipe is of a student"),
        ("cut-q8_0", "nobody else has"),
    ],
)
def test_what_no_recipe_can_be_made_of_is_said(project, capsys, export, said):
    assert main(["pack", export, "--out", "small"]) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (project / "small").exists()


def test_an_artefact_of_another_student_and_one_without_an_adapter_are_refused(project, capsys):
    student = project / "models/students/kd"
    shutil.rmtree(student / "adapter")
    assert main(["pack", "kd-q8_0", "--out", "small"]) == 2
    assert "is of another" in capsys.readouterr().err
    shutil.rmtree(project / "models/artefacts/kd-q8_0")
    build.build(student, project / "models/artefacts/kd-q8_0", format="gguf", quantisation="q8_0")
    assert main(["pack", "kd-q8_0", "--out", "small"]) == 2
    assert "has no adapter" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["missing", "no recipe", "shape", "exists"])
def test_a_damaged_recipe_is_one_line(project, capsys, damage):
    main(["pack", "kd-q8_0", "--out", "small"])
    if damage == "missing":
        (project / "small/recipe.json").unlink()
    elif damage == "no recipe":
        (project / "small/recipe.json").write_text(json.dumps({"model": {}}))
    elif damage == "shape":
        path = project / "small/adapter/adapter_config.json"
        path.write_text(path.read_text().replace('"r": 3', '"r": 4'))
    else:
        (project / "adopted/small").mkdir(parents=True)
    capsys.readouterr()
    assert main(["rebuild", "small"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("potstill rebuild: ")


@pytest.mark.parametrize(
    "adapter", [LowRank(kind="lora", r=2, alpha=2.0), Vectors(kind="vectors")], ids=lambda a: a.kind
)
def test_a_base_with_its_own_vocabulary_needs_none(tiny_llama, tmp_path, adapter):
    fetch.fetch(f"folder:{tiny_llama}", None, "float32", tmp_path / "base")
    trimming.link(tmp_path / "base", tmp_path / "start")
    begin = Start.of(tmp_path / "start", schedule(adapter=adapter))
    begin.save(begin.exact(begin.model()), tmp_path / "kd", [])
    build.build(tmp_path / "kd", tmp_path / "kd-f16", format="gguf", quantisation="f16")
    parts = recipe.Parts(tmp_path / "kd-f16", tmp_path / "kd", tmp_path / "base", None)
    recipe.pack(parts, tmp_path / "small")
    assert not (tmp_path / "small/vocabulary").exists()
    (tmp_path / "scratch").mkdir()
    assert recipe.build(tmp_path / "small", tmp_path / "again", tmp_path / "scratch") == []
    whole = load.causal_lm(tmp_path / "scratch/student", torch.float32, CPU)
    start = load.causal_lm(tmp_path / "start", torch.float32, CPU)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, start.state_dict()[name])
