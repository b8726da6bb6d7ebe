"""The stage writes a table, a report and flat numbers, also when gates fail."""

import subprocess
import sys

import pytest
import yaml
from potstill import files
from potstill.errors import InputError

from stages.compare import Params, main
from tests.report import fake_tree
from tests.tiny_project import ROOT, environment


@pytest.fixture
def flags(tmp_path):
    return fake_tree.write_tree(tmp_path)


def run(flags, out, **changes):
    out.mkdir()
    names = {
        "headline": "headline.json",
        "shown": "shown",
        "table": "results.md",
        "report": "report.html",
    }
    paths = {f"{role}_out": out / name for role, name in names.items()}
    return main(Params.model_validate(fake_tree.SETTINGS | changes), **flags, **paths)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Return the folder of one run's outputs, and its metrics."""
    root = tmp_path_factory.mktemp("first")
    return root / "out", run(fake_tree.write_tree(root), root / "out")


def test_outputs_are_whole_and_a_second_run_is_equal(first, flags, tmp_path):
    out, metrics = first
    assert run(flags, tmp_path / "out") == metrics
    written = files.sha256_tree(out)
    names = {path.relative_to(out).as_posix() for path in files.files_below(out)}
    tables = {
        "validation_loss.csv",
        "own_answers.csv",
        "quality.csv",
        "rejections.csv",
        "results.json",
    }
    shown = {*tables, "quality.svg", "table.md"}
    single = {"headline.json", "results.md", "report.html"}
    assert names == single | {f"shown/{name}" for name in shown}
    assert files.sha256_tree(tmp_path / "out") == written


def test_metrics_are_flat_numbers_that_add_up(first):
    _, metrics = first
    assert {type(value) for value in metrics.values()} <= {int, float}
    states = [metrics[f"gates_{state}"] for state in ("passed", "failed", "not_run")]
    assert (sum(states), states[1:]) == (30, [2, 3])
    for pair in ("kd_minus_labels_only", "kd_minus_untrained", "kd-q4_0_minus_kd-f16"):
        label = f"{pair}.chores.pass_at_1"
        low, value, high = (metrics[label + end] for end in (".low", "", ".high"))
        assert low <= value <= high
        assert 0 < metrics[f"{label}.p"] <= 1
    assert metrics["kd_minus_untrained.chores.pass_at_1.n"] == 200
    assert metrics["kd_minus_untrained.chores.pass_at_1.seeds"] == 1
    assert metrics["kd-q8_0_minus_kd-f16.chores.pass_at_1.n"] == 60
    assert metrics["kd_over_labels_only.perplexity"] == pytest.approx(4.1 / 4.6, abs=1e-6)
    assert metrics["kd_over_teacher.perplexity.n"] == 120
    assert metrics["smallest_passing_variant_bytes"] == 73_400_320


def test_only_latency_changes_when_only_latency_changed(first, flags, tmp_path):
    out, metrics = first
    path = flags["metrics_in"] / "export/kd-q8_0.json"
    fake_tree.change(path, "latency", tokens_per_s_p50=171.5)
    assert run(flags, tmp_path / "out") == metrics
    before, after = [(folder / "results.md").read_text() for folder in (out, tmp_path / "out")]
    assert before != after
    assert before.replace("170.0", "171.5") == after


def test_a_stop_writes_nothing(flags, tmp_path):
    with pytest.raises(InputError, match="gates did not pass"):
        run(flags, tmp_path / "out", on_failure="stop")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bad_number_is_one_line_and_keeps_the_old_report(flags, tmp_path):
    fake_tree.change(flags["metrics_in"] / "distill/kd.json", test_perplexity=float("nan"))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"compare": fake_tree.SETTINGS}))
    names = {"headline": "headline.json", "shown": "shown", "table": "results.md"}
    outs = {f"{role}_out": tmp_path / name for role, name in names.items()}
    outs["report_out"] = tmp_path / "report.html"
    outs["table_out"].write_text("old")
    command = [sys.executable, "-m", "stages.compare", "--params", "compare"]
    for name, path in (flags | outs | {"metrics": tmp_path / "metrics/compare.json"}).items():
        command += [f"--{name.replace('_', '-')}", str(path)]
    variables = environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'lib'}"}
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "kd.json: test_perplexity is nan" in last
    assert "Traceback" not in done.stderr
    assert outs["table_out"].read_text() == "old"
    assert not outs["report_out"].exists()


def test_it_reads_nothing_but_what_dvc_yaml_declares(first, flags, tmp_path):
    """A flag names a folder; DVC watches only what is declared of it."""
    _, metrics = first
    compare = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["compare"]
    deps = [dep.replace("${teacher}", "smollm2") for dep in compare["deps"]]
    declared = [tmp_path / dep for dep in deps if not dep.startswith(("lib/", "stages/"))]
    assert [path for path in declared if not path.exists()] == []
    for path in files.files_below(tmp_path):
        if not any(path.is_relative_to(dep) for dep in declared):
            path.unlink()
    assert run(flags, tmp_path / "out") == metrics
    for path in declared:  # and each of them is read
        path.rename(tmp_path / "hidden")
        try:
            other = run(flags, tmp_path / f"without-{path.name}")
        except InputError:
            other = None
        assert other != metrics, path
        (tmp_path / "hidden").rename(path)
