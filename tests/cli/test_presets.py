"""A preset changes what it says and nothing else: comments, order and style of params.yaml stay.

The project's own presets are loaded into every stage's settings by test_preflight.py.
"""

import difflib
import shutil
from pathlib import Path

import pytest
import yaml
from potstill import files
from potstill.cli import edits, presets
from potstill.errors import InputError

from tests import tiny_project
from tests.tiny_project import call

ROOT = Path(__file__).parents[2]

DVC_YAML = """
stages:
  distill:
    foreach: "${distill}"
    do: {cmd: "python -m stages.distill --params distill.${key} --out x"}
  score:
    foreach: "${ scores }"
    do: {cmd: "python -m stages.score --params scoring scores.${key} --out x"}
  export:
    foreach: "${export}"
    do: {cmd: "python -m stages.export --params export.${key} --out x"}
  plain: {cmd: python -m stages.plain --params plain --out x}
"""
SCRIPTS = {
    "distill": "loss: str\n    steps: int\n    b: dict[str, list[int]] | None = None",
    "score": "tokens: int\n    katas: int\n    tasks: dict[str, int] = {}",
    "export": "bits: int",
    "plain": "steps: int\n    rate: float\n    shares: dict[str, float]\n    via: dict[str, str]",
}
PARAMS = """\
# The default run.
seed: 1  # the one seed

# ---- plain ----
plain:
  steps: 30  # optimizer steps
  rate: 2.0e-4
  name: "quoted"  # text
  flag: true
  nothing: null
  sizes: [1, 2]  # flow list
  rates: [0.5]
  words:  # block list
    - one  # first
    # above two
    - two  # last

  # ---- inner banner ----
  after: 1
  shares: {code: 0.5}
  via: {kd: q8}

# ---- distill ----
distill:
  # labels only
  labels: {loss: ce, steps: 10}  # a control
  # the student
  kd:
    loss: kl
    steps: 20  # of kd

# ---- export ----
export:
  q8: {bits: 8}

# ---- scores ----
scoring:
  tokens: 80  # of an answer
scores:
  q8: {katas: 200}
  q4:
    katas: 60  # fewer
    tasks: {easy: 3}
"""


@pytest.fixture
def params_file(tmp_path):
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "stages").mkdir()
    for name, fields in SCRIPTS.items():
        text = f"from potstill.params import Section\n\n\nclass Params(Section):\n    {fields}\n"
        (tmp_path / f"stages/{name}.py").write_text(text)
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS)
    return path


def apply(params_file, text):
    preset = params_file.with_name("small.yaml")
    preset.write_text(text)
    return presets.apply(preset, params_file)


def diff(params_file):
    """The lines that were removed and added, as `git diff` has them."""
    lines = difflib.ndiff(PARAMS.splitlines(), params_file.read_text().splitlines())
    return [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("seed: 2", ["- seed: 1  # the one seed", "+ seed: 2  # the one seed"]),
        (
            "plain: {steps: 5}",
            ["-   steps: 30  # optimizer steps", "+   steps: 5   # optimizer steps"],
        ),
        ("plain: {rate: 1}", ["-   rate: 2.0e-4", "+   rate: 1"]),
        ("plain: {nothing: text}", ["-   nothing: null", "+   nothing: text"]),
        (
            "plain: {sizes: [3]}",
            ["-   sizes: [1, 2]  # flow list", "+   sizes: [3]     # flow list"],
        ),
        (
            "plain: {words: [three]}",
            [
                "-   words:  # block list",
                "-     - one  # first",
                "-     # above two",
                "-     - two  # last",
                "+   words: [three] # block list",
            ],
        ),
        (
            "distill: {labels: null}",
            ["-   labels: {loss: ce, steps: 10}  # a control"],
        ),
        (
            "distill: {kd: null}",
            ["-   kd:", "-     loss: kl", "-     steps: 20  # of kd"],
        ),
        ("distill: {more: {loss: js, steps: 3}}", ["+   more: {loss: js, steps: 3}"]),
        ("export: {q8: null}", ["- export:", "-   q8: {bits: 8}", "+ export: {}"]),
        ("export: {q8: {bits: 7}}", ["-   q8: {bits: 8}", "+   q8: {bits: 7}"]),
        (
            "export: {q8: null, q4: {bits: 4}}",
            ["-   q8: {bits: 8}", "+   q4: {bits: 4}"],
        ),
        ("scores: {q8: {tokens: 9}}", ["-   q8: {katas: 200}", "+   q8: {katas: 200, tokens: 9}"]),
        ("scores: {q4: {tokens: 9}}", ["+     tokens: 9"]),
        ("scoring: {tokens: 9}", ["- tokens: 80 # of an answer", "+ tokens: 9 # of an answer"]),
        (
            "scores: {q4: null}",
            ["-   q4:", "-     katas: 60  # fewer", "-     tasks: {easy: 3}"],
        ),
        (
            "scores: {q4: {tasks: {hard: 2}}}",
            ["-     tasks: {easy: 3}", "+     tasks: {easy: 3, hard: 2}"],
        ),
        (
            "plain: {shares: {plan: 0.5, code: null}}",
            ["-   shares: {code: 0.5}", "+   shares: {plan: 0.5}"],
        ),
        ("plain: {via: {kd: [q8, q4]}}", ["-   via: {kd: q8}", "+   via: {kd: [q8, q4]}"]),
        ("plain: {via: {b: [q4]}}", ["-   via: {kd: q8}", "+   via: {kd: q8, b: [q4]}"]),
        (
            'export: {q4: {bits: 4, from: "a:b"}}',
            ["+   q4:", "+     bits: 4", "+     from: a:b"],
        ),
        ("export: {q8: {bits: 8}}\nplain: {sizes: [1, 2], rate: 0.0002}", []),
    ],
)
def test_only_the_named_lines_change_and_the_second_time_none(params_file, preset, expected):
    changes = apply(params_file, preset)
    loose = [" ".join(line.split()) for line in diff(params_file)]
    assert sorted(loose) == sorted(" ".join(line.split()) for line in expected)
    assert bool(changes) == bool(expected)
    once = params_file.read_bytes()
    assert apply(params_file, preset) == []
    assert params_file.read_bytes() == once


def test_the_result_is_the_merged_tree(params_file):
    apply(
        params_file, "seed: 3\nplain: {words: [x], rate: 3}\ndistill: {labels: null, b: {n: [1]}}"
    )
    expected = yaml.safe_load(PARAMS)
    expected["seed"] = 3
    expected["plain"] |= {"words": ["x"], "rate": 3}
    del expected["distill"]["labels"]
    expected["distill"]["b"] = {"n": [1]}
    assert yaml.safe_load(params_file.read_text()) == expected


def test_every_comment_of_what_stays_is_kept(params_file):
    apply(
        params_file, "distill: {kd: null, labels: null}\nexport: {q4: {bits: 4}}\nplain: {after: 2}"
    )
    text = params_file.read_text()
    kept = ["# ---- distill", "# ---- export", "# ---- inner banner", "# optimizer steps", "# text"]
    assert [comment for comment in kept if comment not in text] == []
    assert text.index("# ---- export") < text.index("export:") < text.index("q4:")


def test_a_float_stays_a_float_for_every_reader(params_file):
    apply(params_file, "plain: {rate: 0.00001}")
    assert yaml.safe_load(params_file.read_text())["plain"]["rate"] == 1e-5


def test_what_a_variant_may_leave_out_may_be_null(params_file):
    apply(params_file, "distill: {kd: {b: {n: [1]}}}")
    assert apply(params_file, "distill: {kd: {b: null}}")
    assert yaml.safe_load(params_file.read_text())["distill"]["kd"] == {"loss": "kl", "steps": 20}
    assert apply(params_file, "distill: {kd: {b: null}}") == []


@pytest.mark.skipif(not (ROOT / "params.yaml").exists(), reason="no pipeline here")
def test_null_overrides_what_a_variant_shares(tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    apply(tmp_path / "params.yaml", "training: {adapter: {kind: vectors}}")
    assert apply(tmp_path / "params.yaml", "students: {kd: {adapter: null}}")
    assert (
        yaml.safe_load((tmp_path / "params.yaml").read_text())["students"]["kd"]["adapter"] is None
    )
    assert apply(tmp_path / "params.yaml", "students: {kd: {adapter: null}}") == []


@pytest.mark.parametrize(
    ("preset", "named"),
    [
        (
            "sed: 2",
            "sed: unknown key; allowed: distill, export, plain, scores, scoring, seed; did",
        ),
        ("plain: {stepz: 2}", r"plain\.stepz: unknown key; .*did you mean steps"),
        ("plain: {steps: null}", r"plain\.steps: got None .*params.yaml has 30 \(int\)"),
        ("plain: {steps: 2.5}", r"plain\.steps: got 2\.5 \(float\)"),
        ("plain: {steps: '5'}", r"plain\.steps: got '5' \(str\)"),
        ("plain: {steps: true}", r"plain\.steps: got True \(bool\)"),
        ("plain: {flag: 1}", r"plain\.flag: got 1 \(int\)"),
        ("plain: {rate: fast}", r"plain\.rate: got 'fast'"),
        ("plain: {sizes: 3}", r"plain\.sizes: got 3 \(int\)"),
        ("plain: {sizes: [a]}", r"plain\.sizes: got the element 'a'"),
        ("plain: 3", r"plain: got 3 \(int\)"),
        ("plain: null", "plain: got None"),
        ("plain: {name: {a: 1}}", r"plain\.name: got \{'a': 1\} \(dict\)"),
        ("distill: null", "distill: got None"),
        ("distill: {kd: {stepz: 1}}", r"distill\.kd\.stepz: unknown key"),
        ("distill: {kd: {steps: null}}", r"distill\.kd\.steps: got None"),
        ("scores: {q8: {tokenz: 9}}", r"q8\.tokenz: unknown key; .*did you mean tokens"),
        ("scores: {q8: {tokens: a}}", r"q8\.tokens: got 'a'"),
        ("scoring: {katas: 9}", r"scoring\.katas: unknown key"),
        ("scores: null", "scores: got None"),
        ("scores: {q4: {tasks: {hard: many}}}", r"tasks\.hard: got 'many'"),
        ("distill: {new: 3}", r"distill\.new: got 3 \(int\)"),
        ("plain: {via: {kd: [1]}}", r"plain\.via\.kd: got the element 1 \(int\)"),
        ("", "small.yaml holds a NoneType"),
        ("seed: [", "small.yaml is not YAML"),
    ],
)
def test_a_bad_preset_is_refused_and_nothing_is_written(params_file, preset, named):
    with pytest.raises(InputError, match=named) as caught:
        apply(params_file, f"{preset}\n")
    assert "\n" not in str(caught.value)
    assert params_file.read_text() == PARAMS


def test_a_good_part_of_a_bad_preset_is_not_written(params_file):
    with pytest.raises(InputError):
        apply(params_file, "seed: 2\nplian: {}")
    assert params_file.read_text() == PARAMS


def test_whole_numbers_may_stand_in_a_list_of_floats(params_file):
    apply(params_file, "plain: {rates: [1, 0.25]}")
    assert yaml.safe_load(params_file.read_text())["plain"]["rates"] == [1, 0.25]


def test_a_crash_while_writing_leaves_the_old_file(params_file, monkeypatch):
    monkeypatch.setattr(files.Path, "replace", lambda *_: pytest.fail("the machine stops here"))
    with pytest.raises(pytest.fail.Exception):
        apply(params_file, "seed: 2")
    assert params_file.read_text() == PARAMS


def test_the_changes_are_told(params_file):
    changes = apply(params_file, "seed: 2\ndistill: {kd: null, js: {steps: 1}}")
    assert [str(c) for c in changes] == ["seed: 1 -> 2", "distill.kd: removed", "distill.js: added"]


@pytest.mark.skipif(not (ROOT / "params.yaml").exists(), reason="no pipeline here")
def test_params_yaml_is_written_in_the_style_in_which_a_preset_leaves_it():
    """Else a preset's diff would show lines that it does not change."""
    text = (ROOT / "params.yaml").read_text()
    assert edits._dump(edits._writer().load(text)) == text


@pytest.mark.parametrize("preset", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_preset_of_the_project_applies_and_keeps_the_comments(tmp_path, preset):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    path = tmp_path / "params.yaml"
    banners = [line for line in path.read_text().splitlines() if line.startswith("#")]
    presets.apply(preset, path)
    lines = path.read_text().splitlines()
    assert [line for line in banners if line not in lines] == []
    assert presets.apply(preset, path) == []


@pytest.mark.parametrize(
    "preset",
    [
        'models: {mine: {source: "folder:$MY_MODEL", revision: null, dtype: float32}}',
        'mine_functions: {sources: [{from: stdlib}, {from: "archive:$S/a.tgz", licence: MIT}]}',
        'mine_functions: {sources: [{from: "npm:lodash"}]}',
    ],
)
def test_dvc_reads_what_it_makes_of_a_merged_preset(tmp_path, preset):
    """DVC's own reader takes it; `dvc exp run -S` writes the file anew, without the quotes."""
    from dvc.utils.serialize import load_yaml, modify_yaml

    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    path = str(tmp_path / "params.yaml")
    (tmp_path / "p.yaml").write_text(preset)
    presets.apply(tmp_path / "p.yaml", tmp_path / "params.yaml")
    merged = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert load_yaml(path) == merged
    with modify_yaml(path) as tree:
        tree["seed"] = 7
    assert load_yaml(path) == yaml.safe_load(Path(path).read_text()) == {**merged, "seed": 7}


def merged(tmp_path, *names):
    """Return params.yaml with presets of the project."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    for name in names:
        presets.apply(ROOT / f"presets/{name}.yaml", tmp_path / "params.yaml")
    return yaml.safe_load((tmp_path / "params.yaml").read_text())


def test_three_seeds_are_the_same_students_but_for_the_seed(tmp_path):
    tree = merged(tmp_path, "three-seeds")
    for seed in (1, 2):
        for name in ("kd", "labels_only"):
            same, export = tree["students"][name], tree["export"]
            assert tree["seed"] == 0
            assert tree["students"][f"{name}_s{seed}"] == {**same, "seed": seed}
            assert (
                export[f"{name}_s{seed}-q8_0"]["tasks"]["katas"]
                == (export[f"{name}-q8_0"]["tasks"]["katas"])
            )


def test_the_control_of_equal_compute_has_the_steps_that_its_arithmetic_gives(tmp_path):
    tree = merged(tmp_path, "equal-compute")
    control, kd = tree["students"]["labels_compute"], tree["students"]["kd"]
    batches = tree["cache_logits"]["max_rows"] / tree["training"]["batch_rows"]
    weights = 106 / 99  # teacher over student, as the default cuts it
    teacher = (tree["adapt_teacher"]["steps"] + batches / 3) * weights
    assert control["steps"] == round(kd["steps"] + teacher)
    assert control["max_rows"] == kd["max_rows"] + tree["adapt_teacher"]["max_rows"]


@pytest.mark.slow
def test_a_preset_and_dvc_exp_run_work_together(tmp_path):
    project = tiny_project.make(tmp_path / "project")
    (project / "p.yaml").write_text("make_prompts: {text: preset}\nmake_model: {q4: null}")
    presets.apply(project / "p.yaml", project / "params.yaml")
    call(project, "dvc", "exp", "run", "-q", "-n", "small", "-S", "make_model.q8.num_bytes=1000")
    assert (project / "data/prompts.jsonl").read_text() == "preset"
    assert (project / "models/artefacts/q8/weights.bin").stat().st_size == 1000
    assert "small" in call(project, "dvc", "exp", "show", "--csv")
    assert presets.apply(project / "p.yaml", project / "params.yaml") == []
