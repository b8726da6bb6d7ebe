"""What was not measured never passes, and no gate vanishes."""

import json
import math
from dataclasses import replace

import pytest
from potstill.errors import InputError
from potstill.report import gates
from potstill.report.comparison import View

from tests.report.fake_tree import SETTINGS, change, write_test_rows


def states(verdicts, gate):
    return {verdict.subject: verdict.state for verdict in verdicts if verdict.gate == gate}


def reason(verdicts, gate, subject):
    return next(v.reason for v in verdicts if (v.gate, v.subject) == (gate, subject))


def rewrite_rows(path, change_row):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row | change_row(row)) + "\n" for row in rows))


def test_every_gate_judges_each_of_its_subjects_once(look):
    verdicts = gates.judge(look())
    assert len({(v.gate, v.subject) for v in verdicts}) == len(verdicts)
    assert list(dict.fromkeys(v.gate for v in verdicts)) == list(SETTINGS["gates"])
    assert len(states(verdicts, "parity")) == 8
    assert set(states(verdicts, "quantisation_drop")) == {
        "kd-q8_0", "kd-q4_k_m", "kd-q4_0", "kd-onnx_int8",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "bound", "expected"),
    [
        (1.0, {"below": 1.0}, "fail"),
        (0.999, {"below": 1.0}, "pass"),
        (1.0, {"at_most": 1.0}, "pass"),
        (1.001, {"at_most": 1.0}, "fail"),
        (1.0, {"above": 1.0}, "fail"),
        (1.001, {"above": 1.0}, "pass"),
        (1.0, {"at_least": 1.0}, "pass"),
        (0.999, {"at_least": 1.0}, "fail"),
    ],
)
def test_bounds_mean_what_they_say(look, value, bound, expected):
    view = look(gates={"size": {"measure": "size_mb"} | bound})
    for item in list(view.results.variants.values()):
        view.results.variants[item.name] = replace(item, size_bytes=round(value * 1e6))
    assert set(states(gates.judge(view), "size").values()) == {expected}


def test_the_students_perplexity_is_held_against_each_control(look, tmp_path):
    write_test_rows(tmp_path, "labels_only", 4.1)
    verdicts = gates.judge(look())
    assert states(verdicts, "perplexity_below_labels_only") == {"kd over labels_only": "fail"}
    assert states(verdicts, "perplexity_below_untrained") == {"kd over untrained": "pass"}


def test_a_ratio_whose_interval_reaches_one_does_not_pass(look, tmp_path):
    path = tmp_path / "data/training/labels_only/test.jsonl"
    sway = {f"group-{n}": 0.99 if n % 2 else 1.01 for n in range(30)}
    rewrite_rows(path, lambda row: {"nll_nats": row["nll_nats"] * sway[row["group"]]})
    rewrite_rows(
        tmp_path / "data/training/kd/test.jsonl",
        lambda row: {"nll_nats": row["nll_nats"] * math.log(4.5) / math.log(4.1)},
    )
    verdicts = gates.judge(look())
    assert states(verdicts, "perplexity_below_labels_only") == {"kd over labels_only": "pass"}
    wide = {f"group-{n}": 0.8 if n % 2 else 1.22 for n in range(30)}
    rewrite_rows(path, lambda row: {"nll_nats": row["nll_nats"] * wide[row["group"]]})
    verdicts = gates.judge(look())
    assert states(verdicts, "perplexity_below_labels_only") == {"kd over labels_only": "fail"}
    assert "n\N{NO-BREAK SPACE}120" in reason(
        verdicts, "perplexity_below_labels_only", "kd over labels_only"
    )


@pytest.mark.parametrize("text", ["", '{"id": "x", "group": "g", "nll_nats": 1.0, "tokens": 2}'])
def test_other_test_rows_never_pass(look, tmp_path, text):
    (tmp_path / "data/training/labels_only/test.jsonl").write_text(text)
    verdicts = gates.judge(look())
    assert states(verdicts, "perplexity_below_labels_only") == {"kd over labels_only": "not-run"}


def test_an_interval_that_reaches_zero_does_not_pass(look, tmp_path):
    kd = tmp_path / "data/scores/kd-q8_0.jsonl"
    (tmp_path / "data/scores/untrained-q8_0.jsonl").write_text(kd.read_text())
    verdicts = gates.judge(look())
    assert states(verdicts, "katas_above_untrained") == {"kd minus untrained": "fail"}


OTHER = {"id": "other", "task": "katas", "family": "f", "level": 1, "passed": True}


@pytest.mark.parametrize("rows", ["", json.dumps(OTHER)])
def test_without_common_problems_there_is_no_difference_to_pass(look, tmp_path, rows):
    (tmp_path / "data/scores/untrained-q8_0.jsonl").write_text(rows)
    verdicts = gates.judge(look())
    assert states(verdicts, "katas_above_untrained") == {"kd minus untrained": "not-run"}
    assert "tried" in reason(verdicts, "katas_above_untrained", "kd minus untrained")


def test_a_drop_beyond_the_bound_fails(look, tmp_path):
    path = tmp_path / "data/scores/kd-q4_0.jsonl"
    rewrite_rows(path, lambda row: {"passed": False})
    assert states(gates.judge(look()), "quantisation_drop")["kd-q4_0"] == "fail"


def test_a_baseline_that_solves_nothing_has_nothing_to_lose(look, tmp_path):
    for name in ("kd-f16", "kd-q8_0", "kd-q4_0", "kd-q4_k_m", "kd-onnx_int8"):
        rewrite_rows(tmp_path / f"data/scores/{name}.jsonl", lambda row: {"passed": False})
    verdicts = gates.judge(look())
    assert set(states(verdicts, "quantisation_drop").values()) == {"not-run"}
    assert "nothing to lose" in reason(verdicts, "quantisation_drop", "kd-q4_0")


def test_a_missing_baseline_never_passes(look, tmp_path):
    (tmp_path / "data/scores/kd-f16.jsonl").unlink()
    verdicts = gates.judge(look())
    assert set(states(verdicts, "quantisation_drop").values()) == {"not-run"}


def test_parity_keeps_its_three_states_and_its_reason(look, tmp_path):
    folder = tmp_path / "metrics/export"
    change(folder / "kd-q4_0.json", "parity", verdict="fail", reason="top-1 agreement too low")
    change(folder / "kd-onnx_int8.json", parity={"verdict": "not-run", "reason": "no runtime"})
    verdicts = gates.judge(look())
    found = states(verdicts, "parity")
    assert (found["kd-f16"], found["kd-q4_0"]) == ("pass", "fail")
    assert found["kd-onnx_int8"] == "not-run"
    assert reason(verdicts, "parity", "kd-onnx_int8") == "no runtime"


def test_size_memory_and_subset_that_were_not_measured_never_pass(look, tmp_path):
    change(tmp_path / "metrics/export/kd-q4_0.json", bytes=0)
    change(tmp_path / "metrics/export/kd-q4_k_m.json", "latency", peak_rss_mb=0.0)
    change(tmp_path / "metrics/export/kd-q4_0.json", latency={"n": 0})
    change(tmp_path / "metrics/score/kd-q4_0.json", **{"katas.verdict": "not-run"})
    change(
        tmp_path / "metrics/score/kd-f16.json",
        **{"katas.inside_subset": 0.0, "katas.inside_subset.low": 0.0},
    )
    verdicts = gates.judge(look())
    assert states(verdicts, "size")["kd-q4_0"] == "not-run"
    assert states(verdicts, "memory")["kd-q4_k_m"] == "not-run"
    assert states(verdicts, "memory")["kd-q4_0"] == "not-run"
    assert states(verdicts, "inside_subset")["kd-q4_0"] == "not-run"
    assert states(verdicts, "inside_subset")["kd-f16"] == "fail"
    assert all(v.reason for v in verdicts if v.state == "not-run")


def test_a_rate_of_few_rows_decides_nothing(look, tmp_path):
    asked = {"measure": "inside_subset", "at_least": 0.95, "min_n": 61}
    drop = {"measure": "katas_drop", "at_most": 0.1, "min_n": 61}
    verdicts = gates.judge(look(gates={"inside": asked, "drop": drop}))
    inside = states(verdicts, "inside")
    assert (inside["kd-q8_0"], inside["kd-f16"], inside["kd-q4_0"]) == (
        "pass",
        "not-run",
        "not-run",
    )
    assert set(states(verdicts, "drop").values()) == {"not-run"}
    assert reason(verdicts, "inside", "kd-f16") == "n 60; the gate asks for 61"
    verdicts = gates.judge(look(gates={"inside": asked | {"min_n": 60}}))
    assert set(states(verdicts, "inside").values()) == {"pass"}


def test_a_gate_without_subjects_is_not_run(look):
    view = look()
    alone = View(replace(view.results, variants=dict(view.results.variants)), view.settings)
    for item in view.delivered:
        alone.results.variants[item.name] = replace(item, checkpoint="models/elsewhere")
    verdicts = gates.judge(alone)
    assert states(verdicts, "size") == {"-": "not-run"}


def test_the_smallest_passing_export_passes_all_gates_about_it(look, tmp_path):
    view = look()
    verdicts = gates.judge(view)
    good = [item.name for item in gates.passing(view, verdicts)]
    assert "kd-f16" not in good  # larger than the budget
    assert good[-1] == "kd-q4_k_m"  # kd-q4_0 is smaller and loses too much
    change(tmp_path / "metrics/export/kd-q4_k_m.json", "parity", verdict="not-run", reason="x")
    view = look()
    assert "kd-q4_k_m" not in [v.name for v in gates.passing(view, gates.judge(view))]


def test_an_export_that_no_gate_is_about_does_not_pass(look):
    view = look(gates={"p": SETTINGS["gates"]["perplexity_below_untrained"]})
    assert gates.passing(view, gates.judge(view)) == []


def test_a_stop_names_what_did_not_pass(look):
    view = look(on_failure="stop")
    verdicts = gates.judge(view)
    with pytest.raises(InputError, match=r"2 of 30 gates .* size of kd-f16 \(fail\)"):
        gates.stop_unless_passed(verdicts, view.settings)
    passed = [verdict for verdict in verdicts if verdict.state == "pass"]
    gates.stop_unless_passed(passed, view.settings)
    gates.stop_unless_passed(verdicts, look().settings)
